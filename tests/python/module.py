# `module.py NAME`: one of the test modules of Python itself, and what becomes of each of its tests, a line for each.
# What a test prints itself goes elsewhere, as it depends on who runs first.
import os, socket, sys, tempfile, unittest
from test import support

WORDS = ['ok', 'skipped', 'failed']


class Outcomes(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.known = {}

    def note(self, test, what):
        name = test.id()
        self.known[name] = max(self.known.get(name, what), what, key=WORDS.index)

    def addSuccess(self, test): self.note(test, 'ok')
    def addSkip(self, test, reason): self.note(test, 'skipped')
    def addExpectedFailure(self, test, error): self.note(test, 'ok')
    def addUnexpectedSuccess(self, test): self.note(test, 'failed')
    def addError(self, test, error): self.note(test, 'failed')
    def addFailure(self, test, error): self.note(test, 'failed')
    def addSubTest(self, test, part, error):
        if error:
            self.note(test, 'failed')


# There are no INET sockets here, on either kernel: what needs them is skipped on both.
def local(self, family=-1, type=-1, proto=-1, fileno=None, made=socket.socket.__init__):
    if fileno is None and family in (-1, socket.AF_INET, socket.AF_INET6):
        raise unittest.SkipTest('it needs an INET socket')
    made(self, family, type, proto, fileno)


socket.socket.__init__ = local
out = os.fdopen(os.dup(1), 'w')
log = os.open('/tmp/python.log', os.O_CREAT | os.O_WRONLY | os.O_APPEND)
os.dup2(log, 1)
os.dup2(log, 2)
os.chdir(tempfile.mkdtemp())
support.use_resources = []
outcomes = Outcomes()
unittest.defaultTestLoader.loadTestsFromName('test.' + sys.argv[1]).run(outcomes)
for name, what in sorted(outcomes.known.items()):
    print(what, name, file=out)
out.close()
# Some leave threads behind that are still waiting.
os._exit(0)
