"""The subcommands of `thinwire` that need nothing above this package, one a file."""
