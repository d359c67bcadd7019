"""Run `az` many times in one process, each time as its own main program runs it.

It runs under the Python that azure-cli is installed for. Each line of the standard input is a
JSON array of words, each line that comes back `{"code": ..., "out": ..., "err": ...}`.
"""

import json
import os
import sys
import tempfile
from contextlib import contextmanager

from azure.cli.core import get_default_cli

OUT, ERR = 1, 2


@contextmanager
def caught(number, stream):
    """Let what goes to a file descriptor go to a file for a while, and give the file."""
    kept = os.dup(number)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        stream.flush()
        os.dup2(file.fileno(), number)
        try:
            yield file
        finally:
            stream.flush()
            os.dup2(kept, number)
            os.close(kept)


def said(file):
    """All that is in a file."""
    file.seek(0)
    return file.read()


def call(cli, words):
    """Run one command, and answer as its process would."""
    with caught(OUT, sys.stdout) as out, caught(ERR, sys.stderr) as err:
        try:
            code = cli.invoke(words)
        except SystemExit as end:
            code = end.code or 0
        sys.stdout.flush()
        sys.stderr.flush()
        return {"code": code, "out": said(out), "err": said(err)}


answers = os.fdopen(os.dup(OUT), "w", encoding="utf-8")
program = get_default_cli()
for line in sys.stdin:
    print(json.dumps(call(program, json.loads(line))), file=answers, flush=True)
