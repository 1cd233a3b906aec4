"""The `hiddenstate` command: one file a subcommand, no logic of its own."""
