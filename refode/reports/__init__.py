"""What the commands compute and show, one module a target.

A target of ``refode reproduce`` has ``run(out, progress) -> bool``: it writes its files
into the folder `out`, which exists, prints its own tables, shows its progress if `progress`
is true, and returns whether everything came out as it must.
"""
