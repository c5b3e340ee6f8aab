"""Runs the AWS CLI's own entry point in a process forked for each line of standard input, which saves its start.

A line is JSON: env, args, err (a file for what it says). The answer is a line with the exit code."""
import json
import os
import signal
import sys

import awscli.clidriver

# Imports what a first request needs.
sys.argv = ["aws", "s3api", "get-object", "--bucket", "b", "--key", "k", "/dev/null"]
os.environ.update(AWS_ENDPOINT_URL="http://127.0.0.1:1", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b", AWS_MAX_ATTEMPTS="1")
quiet, sys.stderr = sys.stderr, open(os.devnull, "w")
awscli.clidriver.main()
sys.stderr = quiet
print("ready", flush=True)

for line in sys.stdin:
    cell = json.loads(line)
    child = os.fork()
    if child == 0:
        code = 254
        try:
            # Nobody is there to type in a code.
            os.setsid()
            signal.alarm(60)
            said = os.open(cell["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(said, 1)
            os.dup2(said, 2)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            sys.stdin = open(0)
            data = os.environ["AWS_DATA_PATH"]  # The CLI's own, set by its import.
            os.environ.clear()
            os.environ.update(cell["env"], AWS_DATA_PATH=data)
            sys.argv = ["aws", *cell["args"]]
            code = awscli.clidriver.main()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 253)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
