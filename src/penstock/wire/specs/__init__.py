"""Bodies, as clients send them, to specifications that are checked and filled with defaults.

One module has the bodies of one kind of thing. `bodies` decodes them and says what does not fit,
`checks` has the rules that several share.
"""
