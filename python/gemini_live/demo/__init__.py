"""``gemini-live demo``: a voice session that is robbed of its connection twice, and an account of what that did to it.

`stage` is what happens, `sabotage` when it is disturbed, `scene` what can be seen of it, `screen` how it is shown,
`report` what remains at the end, `wav` the files, and `command` ties them to the command line.
"""
