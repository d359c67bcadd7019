"""How a server is started and kept company: everything between the command line and the parts.

Here live the data directory, the certificates, the children (node host and Azurite), the
listening sockets and the announcement that all is ready. No rule of the service belongs here.
"""
