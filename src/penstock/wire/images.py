"""Images that pools may name, with the node agent that goes with each.

Nodes run on whatever the node hosts run on: an image chooses nothing but has to be named. These
are the ones that samples and tools look for. None has capabilities, as containers are not run, nor
an end of its life.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Image(NamedTuple):
    """A marketplace image and its node agent SKU."""

    publisher: str
    offer: str
    sku: str
    agent: str


IMAGES: Final[tuple[Image, ...]] = (
    Image("almalinux", "almalinux", "8-gen1", "batch.node.el 8"),
    Image("almalinux", "almalinux-x86_64", "9-gen1", "batch.node.el 9"),
    Image("almalinux", "almalinux-hpc", "8_7-hpc-gen2", "batch.node.el 8"),
    Image("canonical", "ubuntuserver", "16.04-lts", "batch.node.ubuntu 16.04"),
    Image("canonical", "ubuntuserver", "18.04-lts", "batch.node.ubuntu 18.04"),
    Image("canonical", "0001-com-ubuntu-server-focal", "20_04-lts", "batch.node.ubuntu 20.04"),
    Image("canonical", "0001-com-ubuntu-server-jammy", "22_04-lts", "batch.node.ubuntu 22.04"),
    Image("canonical", "ubuntu-24_04-lts", "server", "batch.node.ubuntu 24.04"),
    Image("debian", "debian-11", "11", "batch.node.debian 11"),
    Image("debian", "debian-12", "12", "batch.node.debian 12"),
    Image(
        "microsoft-azure-batch", "ubuntu-server-container", "20-04-lts", "batch.node.ubuntu 20.04"
    ),
    Image("microsoft-dsvm", "ubuntu-hpc", "2004", "batch.node.ubuntu 20.04"),
    Image("microsoft-dsvm", "ubuntu-hpc", "2204", "batch.node.ubuntu 22.04"),
    Image("microsoft-dsvm", "ubuntu-hpc", "2404", "batch.node.ubuntu 24.04"),
    Image("openlogic", "centos", "7_9", "batch.node.centos 7"),
    Image("rockylinux", "rocky-8", "8-base", "batch.node.el 8"),
)
