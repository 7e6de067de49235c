"""Subcommands of `convline` that no package of their own serves, one in each file.

Nothing is exported here: `convline.cli` imports a subcommand's module only when it is called, since most of them import
torch.
"""
