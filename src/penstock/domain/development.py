"""The account of `penstock up`: the same everywhere, and known to everybody, as Azurite's is.

It keeps programs simple, and protects nothing; neither of its two keys does.
"""

from __future__ import annotations

from typing import Final

DEVELOPMENT_NAME: Final = "devbatchaccount1"
DEVELOPMENT_KEY: Final = (
    "UGVuc3RvY2sgZGV2ZWxvcG1lbnQga2V5OiBwdWJsaXNoZWQsIHNvIGl0IHByb3RlY3RzIG5vdGhpbmcuLi4uLg=="
)
DEVELOPMENT_SECOND_KEY: Final = (
    "UGVuc3RvY2sgc2Vjb25kIGRldmVsb3BtZW50IGtleTogcHVibGlzaGVkLCBwcm90ZWN0cyBub3RoaW5nLi4uLg=="
)
DEVELOPMENT_ENDPOINT: Final = "http://127.0.0.1:10600"
