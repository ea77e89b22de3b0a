"""The stack under Pulumi's real engine: the CLI, a stand-in `gcp` provider and its memory.

Only Pulumi and `local_cloud` come in here; what the program registers is taken as it comes.
"""
