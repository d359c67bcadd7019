"""What users ask for: the bodies of pools, jobs and tasks, checked and filled with defaults.

Each specification is a frozen struct. Its Python names are ours; the names it is encoded with
are those of the newest api-version, and they serve the wire and the stored documents alike, so
there is one spelling to know. Optional parts default to None and are left out when encoded.
"""
