"""The parent of the workers: it imports what functions use, once, and forks workers that have it already."""
import array
import gc
import importlib
import json
import os
import select
import signal
import socket
import stat
import sys
import threading
import time

from . import frames, sandbox, worker

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


class Zygote:
    def __init__(self):
        self.channel = frames.Channel(socket.socket(fileno=3))
        self.children = {}  # workers by process id: whether the server has been told of their end
        self.condemned = set()  # strays that have been killed
        self.wake, self.waker = os.pipe()
        os.set_blocking(self.waker, False)
        os.set_blocking(self.wake, False)
        self.prctl = find_prctl()
        self.adopts = self.adopt()

    def adopt(self):
        """Become the parent of what workers leave behind, where the system tells of it."""
        listed = os.path.exists("/proc/self/task/%d/children" % os.getpid())
        return listed and bool(self.prctl) and self.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0

    def send(self, kind, **content):
        self.channel.write(kind, 0, json.dumps(content).encode())

    def run(self):
        self.send(frames.READY, version=sys.version.split()[0])
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)
        while True:
            ready, _, _ = select.select([self.channel.sock, self.wake], [], [])
            if self.wake in ready:
                os.read(self.wake, 4096)
                self.look()
            if self.channel.sock in ready and not self.obey():
                return

    def obey(self):
        """Do what the next message asks for. Its descriptors come with its first byte."""
        fds = array.array("i")
        data, extra, _, _ = self.channel.sock.recvmsg(frames.HEADER.size, socket.CMSG_SPACE(128 * fds.itemsize))
        for level, kind, content in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
        self.channel.rest = data
        message = self.channel.read() if data else None
        if message is None:
            return False
        kind, _, body = message
        if kind == frames.END:
            self.end()
            return False
        if kind == frames.LOAD:
            self.send(frames.READY, unfit=preload(json.loads(body)["preload"]))
        elif kind == frames.FORK:
            self.fork(list(fds))
        elif kind == frames.REAP:
            pid = json.loads(body)["pid"]
            if pid in self.children:
                del self.children[pid]
                try:
                    os.waitpid(pid, 0)
                except ChildProcessError:
                    pass  # end_of has done it
        return True

    def fork(self, fds):
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError as e:
            close(fds)
            self.send(frames.FORKED, pid=0, status=str(e))
            return
        if pid == 0:
            self.become_worker(fds)
        close(fds)
        try:
            os.setpgid(pid, pid)
        except OSError:
            pass  # the child has done it
        self.children[pid] = False
        self.send(frames.FORKED, pid=pid, status="")

    def become_worker(self, fds):
        status = 1
        try:
            parent = os.getppid()
            os.setpgid(0, 0)
            if self.prctl:
                self.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != parent:
                    return
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(fds[0], 1)
            os.dup2(fds[1], 2)
            close(fds[:2] + [self.wake, self.waker])
            self.channel.sock.close()
            reseed()
            worker.run([frames.Channel(socket.socket(fileno=fd)) for fd in fds[2:]])
            status = 0
        except SystemExit as e:
            status = e.code if isinstance(e.code, int) else 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except Exception:
                    pass
            os._exit(status)

    def look(self):
        """Tell of the children that have ended. They are reaped when the server says so: until then nothing
        else gets their process id."""
        ended = False
        for pid in [pid for pid, told in self.children.items() if not told]:
            status = end_of(pid)
            if status is not None:
                self.children[pid] = ended = True
                self.send(frames.EXITED, pid=pid, status=status)
        if self.adopts:
            self.sweep(ended)

    def sweep(self, kill):
        """Kill what ended workers have left behind, also what has left their process groups, and what that leaves
        behind in turn. Whose it was cannot be told."""
        for pid in self.strays():
            if os.waitpid(pid, os.WNOHANG)[0]:
                kill = kill or pid in self.condemned
        if kill:
            self.condemned = self.fell()

    def end(self):
        """Kill everything, as often as something is left."""
        self.children.clear()
        limit = time.monotonic() + 1
        while self.adopts and time.monotonic() < limit and self.fell():
            time.sleep(0.001)
            for pid in self.strays():
                os.waitpid(pid, os.WNOHANG)

    def fell(self):
        """Kill the strays and all that descends from them, and return them. They are stopped before the first is
        killed, since processes that go on forking cannot be counted."""
        found, limit = set(), time.monotonic() + 1
        while time.monotonic() < limit:
            more = descendants(self.strays()) - found
            if not more:
                break
            found |= more
            for pid in more:
                tell(pid, signal.SIGSTOP)
        for pid in found:
            tell(pid, signal.SIGKILL)
        return found

    def strays(self):
        """Return this process's children that are no workers."""
        return children_of("self") - self.children.keys()


def children_of(pid):
    found = set()
    try:
        for thread in os.listdir("/proc/%s/task" % pid):
            with open("/proc/%s/task/%s/children" % (pid, thread)) as f:
                found.update(int(child) for child in f.read().split())
    except OSError:
        pass  # it has ended
    return found


def descendants(pids):
    found, left = set(pids), list(pids)
    while left:
        more = children_of(left.pop()) - found
        found |= more
        left += more
    return found


def tell(pid, what):
    try:
        os.kill(pid, what)
    except OSError:
        pass  # it has ended


def end_of(pid):
    """Return how a child has ended, without reaping it where that can be done; None while it runs."""
    if hasattr(os, "waitid"):
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return ended and describe(ended.si_code == os.CLD_EXITED, ended.si_status)
    gone, code = os.waitpid(pid, os.WNOHANG)
    return describe(os.WIFEXITED(code), os.WEXITSTATUS(code) if os.WIFEXITED(code) else os.WTERMSIG(code)) if gone else None


def describe(exited, number):
    return ("exit status %d" if exited else "signal %d") % number


def close(fds):
    for fd in fds:
        os.close(fd)


def find_prctl():
    if not sys.platform.startswith("linux"):
        return None
    try:
        import ctypes
        return ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None


def reseed():
    """Give a worker chance of its own. Python's and OpenSSL's own see to it by themselves."""
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()


def preload(names):
    """Import what functions use, and return the modules that workers must import by themselves. What fails here
    fails again, and is told, where a function imports it."""
    sandbox.close()
    unfit, before = [], residue()
    for name in ["skygear", "skygear.transmitter"] + names:
        try:
            importlib.import_module(name)
        except BaseException:
            pass
        after = residue()
        if after - before:
            unfit.append(name)
            before = after
    sandbox.apply()
    gc.collect()
    if hasattr(gc, "freeze"):
        gc.freeze()
    return unfit


def residue():
    """Return what forked processes would share or lack: open files and connections, and threads."""
    found = set()
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    for fd in os.listdir(folder):
        try:
            status = os.fstat(int(fd))
        except OSError:
            continue
        if not stat.S_ISCHR(status.st_mode):
            found.add((fd, status.st_dev, status.st_ino))
    found.update(thread.ident for thread in threading.enumerate())
    try:
        found.update(os.listdir("/proc/self/task"))
    except OSError:
        pass
    return found


def main():
    Zygote().run()
