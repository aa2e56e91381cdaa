"""A fleet at work without any fault, measured by its own jobs."""
