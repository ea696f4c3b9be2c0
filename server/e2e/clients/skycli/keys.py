"""Runs a program on a terminal of its own and answers its questions: keys.py '[["question", "keys"], ...]' program ..."""
import json
import os
import pty
import sys

answers = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
said = b''
while True:
    try:
        more = os.read(terminal, 4096)
    except OSError:  # the program has ended
        break
    if not more:
        break
    said += more
    sys.stdout.write(more.decode(errors='replace'))
    if answers and answers[0][0].encode() in said:
        said = b''
        os.write(terminal, answers.pop(0)[1].encode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
