"""Run the subcommands of `convline` that have no package of their own, one per file.

Nothing is exported here: `convline.cli` imports a subcommand's module only when it is called, since most of them import
torch.
"""
