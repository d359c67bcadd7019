"""What differs between the api-versions: the only place that knows names which are not the newest.

`releases` lists the versions, `parts` says which object of the protocol holds which, `differences`
is the table of what each version calls them and lacks, `shapes` what a new name does not do.
`reading` takes bodies to the newest names before anything else sees them; `showing` brings
documents, and `paths` what refusals speak of, into the names of the version that is asked for.
"""
