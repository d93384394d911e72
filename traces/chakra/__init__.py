"""Chakra execution traces (MLCommons): one .et file per rank, as ASTRA-sim runs them."""
