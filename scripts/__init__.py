"""The commands of this repository, one file each; their code is in `scripts._lib`."""
