"""The stack under Pulumi's real engine: the CLI, a stand-in `gcp` provider, what stands behind it.

Only Pulumi and `local_cloud` come in here; what the program registers is taken as it comes.
"""
