"""GoogleSQL without Google: ZetaSQL's analyser and reference engine, for `nox -s sql`."""
