"""Libraries from PyPI that keep data in files, each judged by what its own documentation promises (extra `field`)."""
