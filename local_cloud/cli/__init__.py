"""The commands of the local cloud: `demo`, `try`, `export`, `pages`."""
