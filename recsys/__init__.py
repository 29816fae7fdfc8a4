"""Interactions to recommendations; the room is furnished by the releases that follow the ground floor."""

if __name__ == "recsys":
    raise ImportError("this folder is the package graphcl.recsys: install graphcl and `import graphcl.recsys`")

__all__: list[str] = []
