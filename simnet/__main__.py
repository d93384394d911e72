"""`python -m simnet` is `thinwire`; torchrun starts ranks this way."""

from simnet.cli import main

main()
