import subprocess
import sys

import pytest

#: As somebody who is not root, as in our image; the change of user alone would hide the environment too.
_SCRIPT = """
import ctypes, os
from orchestrator.launcher.private_process import make_private
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
print("A_SECRET" in open("/proc/self/environ").read())
make_private()
try:
    print("A_SECRET" in open("/proc/self/environ").read())
except PermissionError:
    print("refused")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what others may see of a process is the kernel's")
def test_nobody_of_the_same_user_reads_the_environment_of_a_private_process() -> None:
    told = subprocess.run([sys.executable, "-c", _SCRIPT], env={"A_SECRET": "1"}, check=True, capture_output=True)
    assert told.stdout.decode().split() == ["True", "refused"]
