"""The packages; all the rest of the metadata is in setup.cfg.

They are found here because `find:` in setup.cfg ships nothing of a folder that `package_dir` maps:
`sql/` becomes `kronii/_sql` in the wheel.  An editable install lacks that folder, and
`kronii.database` then reads `sql/` itself.
"""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["kronii", "kronii.*"]), "kronii._sql"])
