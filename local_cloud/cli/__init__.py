"""The commands of the local cloud: `demo` and `try`, with their pictures and checks."""
