"""DOES IT FAIL WELL? Kill, freeze, lie, flood: the ones that fit into an ordinary run."""
