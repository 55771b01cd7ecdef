"""One file per action, found by walking this folder: no list of them exists anywhere."""
