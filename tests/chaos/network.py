"""A network of network namespaces: one for each instance, a bridge with the server's address, and
cables to pull.

A cable is pulled at the bridge, so that neither end's routes change: packets just don't arrive.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.chaos.fleet import Fleet, Place

#: The addresses; a network for each process that asks for one, so that two runs don't meet.
PREFIX = f"10.77.{os.getpid() % 250 + 2}"
SERVER = f"{PREFIX}.1"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def missing() -> str:
    """Why there can be no network here; empty if there can."""
    if shutil.which("ip") is None:
        return "there is no `ip` (Debian package iproute2)"
    if os.geteuid():
        return "network namespaces need root"
    try:
        _ip("netns", "add", f"kronii-{os.getpid()}")
        _ip("netns", "delete", f"kronii-{os.getpid()}")
    except subprocess.CalledProcessError as error:
        return f"network namespaces are refused: {error.stderr.strip()}"
    return ""


class Network:
    """The bridge and one namespace for each place."""

    def __init__(self, places: int) -> None:
        self.bridge = f"kb{os.getpid()}"
        self.names = [f"kronii-{os.getpid()}-{index}" for index in range(places)]

    def __enter__(self) -> Network:
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _build(self) -> None:
        _ip("link", "add", self.bridge, "type", "bridge")
        _ip("address", "add", f"{SERVER}/24", "dev", self.bridge)
        _ip("link", "set", self.bridge, "up")
        for index, name in enumerate(self.names):
            _ip("netns", "add", name)
            _ip(
                "link",
                "add",
                self.cable(index),
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                name,
            )
            _ip("link", "set", self.cable(index), "master", self.bridge, "up")
            _ip("-n", name, "address", "add", f"{self.address(index)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")

    def __exit__(self, *exc: object) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", self.bridge], check=False, capture_output=True)

    def cable(self, index: int) -> str:
        """The bridge's end of a place's cable."""
        return f"kc{os.getpid()}-{index}"[:15]

    @staticmethod
    def address(index: int) -> str:
        """A place's address."""
        return f"{PREFIX}.{index + 10}"

    def plug(self, place: Place, whole: bool) -> None:
        """Put the cable in, or pull it."""
        _ip("link", "set", self.cable(place.index), "up" if whole else "down")

    def move_in(self, fleet: Fleet) -> None:
        """Have the fleet's instances live in the namespaces and reach its server, which runs, over
        the bridge.
        """
        for place in fleet.places:
            place.prefix = ["ip", "netns", "exec", self.names[place.index]]
            place.environ = {
                "DATABASE_URL": f"host={SERVER} user=kronii dbname=kronii",
                "KRONII_METRICS_HOST": self.address(place.index),
            }
        for file in Path(fleet.server.directory, "server").glob("data-*/pg_hba.conf"):
            with open(file, "a") as rules:
                rules.write(f"host all all {PREFIX}.0/24 trust\n")
        fleet.query("SELECT pg_reload_conf()")


#: Settings of a server that listens on the bridge.
SETTINGS = {"listen_addresses": SERVER}
