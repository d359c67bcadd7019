"""Print the commands of `az batch` that take an account's endpoint: those of the data plane.

It runs under the Python that azure-cli is installed for, and reads the program's own table, so
that a command of a newer one is not forgotten.
"""

import json
import sys

from azure.cli.core import get_default_cli

cli = get_default_cli()
cli.invocation = cli.invocation_cls(
    cli_ctx=cli,
    commands_loader_cls=cli.commands_loader_cls,
    parser_cls=cli.parser_cls,
    help_cls=cli.help_cls,
)
loader = cli.invocation.commands_loader
loader.load_command_table(["batch"])
found = []
for name, command in loader.command_table.items():
    if name.startswith("batch "):
        # Both are where the loader looks for the command whose arguments it is to load.
        loader.command_name = cli.invocation.data["command_string"] = name
        loader.load_arguments(name)
        if "account_endpoint" in command.arguments:
            found.append(name.removeprefix("batch "))
json.dump(sorted(found), sys.stdout)
