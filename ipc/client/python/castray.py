"""Client of Castray's local protocol, version 1, for Python 3.8 and newer. One file, standard library only.

    class Viewer(castray.App):
        def event(self, event): ...; return 200
        def clear(self, reason): ...; return 200
        def out_of_sync(self, why): ...
    Viewer("viewer").run()

follow.py beside this file follows a patient in 30 lines; docs/local-protocol.md is the protocol.

OUT OF SYNC is not "no patient". When the agent is not there, its connection ends, or no line came from it for 75 s,
what the app shows may be wrong: App.out_of_sync says so, and the app marks its screen. run() connects again by itself,
after pauses that grow from a quarter of a second to 15 s, and the agent then brings the app to the context by an event
or a clear, which ends it.

Before a byte is sent it is checked that the agent is a process of the same user: on Linux and macOS by the credentials
of the socket's other end, on Windows by the owner of the pipe's server process. On other systems nothing is trusted and
connecting fails. What is not checked: that this process is the Castray program, which no client can; whoever runs
programs as this user may be the agent. Windows has been written by the documentation and not been run.
"""

import json
import os
import queue
import random
import select
import socket
import struct
import sys
import threading
import time
import uuid

PROTOCOL = 1
SILENCE = 75.0  # seconds; the agent sends a status at least every 30 s
MAX_LINE = 6 << 20

CONTEXT_UNKNOWN = -32003  # Error.code: the context is unknown, which is not "no patient"
NOT_CONNECTED = -32010  # Error.code: paused or not connected; with data["unknown"] send again with the same id

_HELLO_WITHIN = 10.0
_WRITE_WITHIN = 10.0
_MAX_WAITING = 256  # messages that wait for a callback; one more ends the connection
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0
# A hello that was refused by one of these would be refused again. Not allowed is no such thing for an app with a key:
# an agent that starts listens first and writes its new key then.
_FOR_GOOD, _NOT_ALLOWED = {-32001, -32600, -32601, -32602}, -32007


class Error(Exception):
    """The agent's answer to a call that it refused. message is for a developer and names no patient."""

    def __init__(self, code, message, data=None):
        super().__init__("%s (%d)" % (message, code))
        self.code, self.message, self.data = code, message, data or {}


class Lost(Exception):
    """There is no connection to the agent, or it ended before the answer came."""


class Event:
    """A context change. name is hub.event, such as "Patient-open"; context is the list of FHIRcast; replay, snapshot
    and derived say what is special about it."""

    def __init__(self, params, answer):
        event, mark = params["event"], params.get("castray") or {}
        self.id, self.timestamp = params.get("id"), params.get("timestamp")
        self.name, self.context, self.body = event.get("hub.event", ""), event.get("context") or [], event
        self.replay, self.snapshot, self.derived = (mark.get(m) is True for m in ("replay", "snapshot", "derived"))
        self._answer = answer

    def resource(self, key):
        """The resource of the entry with that key, such as "patient" or "study"; None when there is none."""
        return next((e.get("resource") for e in self.context if e.get("key") == key), None)

    def answer(self, status, reason=None):
        """Answers an event whose callback returned None. Only the first answer counts; any thread may call it."""
        self._answer(status, reason)


class App:
    """One app. Override the callbacks, then run().

    Callbacks are called one after another, by a thread of their own, and may call the methods below. out_of_sync is
    called by another thread, at once; and once more when a callback that ran at that moment has returned, so that it
    has the last word. What event and clear return is the answer: 200 it follows, 202 heard but will not confirm, 4xx
    refused, 5xx failed, or a pair of that and a reason without patient data.
    """

    def __init__(self, name, version=None, events=None, answers=True, address=None, silence=SILENCE):
        """events: None is all that the app may see, [] none. answers: the agent waits for the app's answers. address:
        default_address() when None. silence: shorter than 75 s is for tests."""
        self.name, self.version, self.events, self.answers = name, version, events, answers
        self.address, self.silence = address, min(silence, SILENCE)
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._connection = None

    # ---- callbacks ----

    def event(self, event):
        """A context change. None is no answer yet: Event.answer follows."""
        return 202

    def clear(self, reason):
        """Show no patient."""
        return 202

    def shown(self):
        """What the app shows: a list of {"patient": [{"system", "value"}], "study", "accession"}, a window each. An app
        that does not override it cannot say."""
        return []

    def status(self, status):
        """How the agent is, on change and at least every 30 s."""

    def key(self):
        """The key of castray.json for an app with control; asked before each hello, since each run of the agent has
        another. Called by another thread than the rest."""
        return None

    def admitted(self, hello):
        """The agent has admitted the app: its id among the apps, the status and the context. An event or a clear
        follows."""

    def out_of_sync(self, why):
        """What the app shows may be wrong from now on, until the next event or clear."""

    # ---- methods, for any thread ----

    def run(self):
        """Stays connected until close() is called. Raises Error when the agent refuses the app for good."""
        told, tries = False, 0
        while not self._closed.is_set():
            began, admitted = time.monotonic(), False
            try:
                connection = _Connection(self)
                with self._lock:
                    self._connection = connection
                if self._closed.is_set():
                    connection.end("the app left")
                why = connection.serve()
                admitted = connection.admitted
                if connection.refused and connection.refused.code in connection.for_good:
                    raise connection.refused
            except (FileNotFoundError, ConnectionRefusedError):
                why = "no agent is running"
            except OSError as e:
                why = e.strerror or str(e)
            finally:
                with self._lock:
                    self._connection = None
            if self._closed.is_set():
                return
            if not admitted and not told:
                self.out_of_sync(why)
            told = True  # of an admitted connection serve() has told
            if admitted and time.monotonic() - began > _LONGEST_PAUSE:
                tries = 0
            longest = min(_FIRST_PAUSE * 2 ** min(tries, 10), _LONGEST_PAUSE)
            self._closed.wait(longest / 2 + random.random() * longest / 2)
            tries += 1

    def close(self):
        """Leaves. run() then returns, after the callback that runs."""
        self._closed.set()
        with self._lock:
            connection = self._connection
        if connection:
            connection.end("the app left")

    def call(self, method, params=None, timeout=10.0):
        """Calls a method of the agent and returns its result. Raises Error, Lost, or TimeoutError."""
        with self._lock:
            connection = self._connection
        if not connection or not connection.admitted:
            raise Lost("not connected to the agent")
        return connection.call(method, params or {}, timeout)

    def context(self):
        """{"current": event or None, "open": [...]}. Raises Error with CONTEXT_UNKNOWN when it is not known."""
        return self.call("context")

    def send(self, event, context, id=None, version=None):
        """Requests a context change; returns {"id", "status"} when the hub accepted. When the answer is lost (Lost,
        TimeoutError, or NOT_CONNECTED with data["unknown"]) send again with the same id."""
        params = {"id": id or str(uuid.uuid4()), "event": event, "context": context}
        if version:
            params["version"] = version
        return self.call("send", params, timeout=40.0)

    def subscribe(self, events):
        """Replaces the events wanted, after a reconnect too; None is all that the app may see."""
        self.events = events
        self.call("subscribe", {} if events is None else {"events": events})


class _Connection:
    """One connection from hello to its end. serve() reads; a thread beside it calls back."""

    def __init__(self, app):
        self.app, self.admitted, self.refused, self.for_good = app, False, None, _FOR_GOOD
        self.pipe = _connect(app.address or default_address())
        self.writing, self.gate = threading.Lock(), threading.Lock()
        self.calls, self.last_id = {}, 0
        self.jobs = queue.Queue()
        self.over, self.busy, self.why = False, False, "the agent closed the connection"

    def serve(self):
        worker = threading.Thread(target=self._work, name="castray callbacks", daemon=True)
        worker.start()
        try:
            a = self.app
            hello = {"protocol": PROTOCOL, "name": a.name, "version": a.version, "events": a.events, "key": a.key(),
                     "answers": bool(a.answers), "shows": type(a).shown is not App.shown}
            if hello["key"] is None:
                self.for_good = _FOR_GOOD | {_NOT_ALLOWED}
            self._request("hello", {k: v for k, v in hello.items() if v is not None}, self._hello)
            self._read()
        except Lost:
            pass  # ended before it began
        except (OSError, ValueError, RecursionError, AttributeError, TypeError) as e:
            # A line that cannot be read may have been a change of patient: what the app shows is in doubt.
            self.end("the connection failed: " + type(e).__name__)
        finally:
            self.end(self.why)
            with self.gate:
                busy = self.busy
            if self.admitted and not a._closed.is_set():
                a.out_of_sync(self.why)
            self.jobs.put(None)
            worker.join()
            self.pipe.close()
        if busy and self.admitted and not a._closed.is_set():
            a.out_of_sync(self.why)
        return self.why

    def end(self, why):
        """Ends the connection, once; no callback begins after it."""
        with self.gate:
            if self.over:
                return
            self.over, self.why = True, why
            calls, self.calls = self.calls, {}
        self.pipe.shutdown()
        for settle in calls.values():
            settle(None, Lost(why))

    def _read(self):
        buffer, searched = bytearray(), 0
        heard = time.monotonic()
        while not self.over:
            # Only a whole line counts as a sign of life.
            patience = self.app.silence if self.admitted else min(_HELLO_WITHIN, self.app.silence)
            part = self.pipe.read(heard + patience - time.monotonic())
            if part is None:
                return self.end("no line came for %g s" % patience)
            if not part:
                return  # what is left in the buffer is half a message and never believed
            buffer += part
            while True:
                at = buffer.find(b"\n", searched)
                if at < 0:
                    searched = len(buffer)
                    break
                line, searched = bytes(buffer[:at]).strip(), 0
                del buffer[:at + 1]
                if line:
                    heard = time.monotonic()
                    self._take(json.loads(line.decode("utf-8")))
            if len(buffer) > MAX_LINE + 1:
                return self.end("a line is longer than 6 MiB")

    def _take(self, message):
        if not isinstance(message, dict):
            raise ValueError("a message is an object")
        method, id = message.get("method"), message.get("id")
        if method is None:
            with self.gate:
                settle = self.calls.pop(id, None) if isinstance(id, int) else None
            if settle:
                error = message.get("error")
                settle(message.get("result"), error and Error(error.get("code", 0), error.get("message", ""), error.get("data")))
            return
        params = message.get("params") or {}
        answer = _Once(lambda body: self._answer(id, body) if id is not None else None)
        if method == "event" and isinstance(params.get("event"), dict):
            event = Event(params, lambda status, reason=None: answer({"result": _answered(status, reason)}))
            self._callback(lambda: self.app.event(event), answer, _status)
        elif method == "clear":
            self._callback(lambda: self.app.clear(params.get("reason")), answer, _status)
        elif method == "shown" and type(self.app).shown is not App.shown:
            self._callback(self.app.shown, answer, lambda windows: {"windows": windows or []})
        elif method == "status":
            self._callback(lambda: self.app.status(params), answer, lambda _: {})
        else:
            answer({"error": {"code": -32601, "message": "this app knows no such method"}})

    def _hello(self, result, error):
        if error is None and result.get("protocol") != PROTOCOL:
            error = Error(-32001, "the agent and this app speak different versions: update the older of the two")
        if error:
            self.refused = error if isinstance(error, Error) else None
            self.end(str(error))
            return
        self.admitted = True
        self._callback(lambda: self.app.admitted(result), lambda body: None, lambda _: {})

    def _callback(self, job, answer, result_of):
        if self.jobs.qsize() >= _MAX_WAITING:
            self.end("the app does not keep up: 256 messages wait")
            return
        self.jobs.put((job, answer, result_of))

    def _work(self):
        while True:
            work = self.jobs.get()
            with self.gate:
                if work is None or self.over:
                    return
                self.busy = True
            job, answer, result_of = work
            try:
                result = result_of(job())
                if result is not None:
                    answer({"result": result})
            except Exception:  # the app's mistake: the agent must hear that it does not follow, the app goes on
                answer({"result": {"status": 500, "reason": "the app's callback failed"}})
                sys.excepthook(*sys.exc_info())
            with self.gate:
                self.busy = False

    def call(self, method, params, timeout):
        got = queue.Queue()
        id = self._request(method, params, lambda result, error: got.put((result, error)))
        try:
            result, error = got.get(timeout=timeout)
        except queue.Empty:
            with self.gate:
                self.calls.pop(id, None)
            raise TimeoutError("%s: no answer within %g s" % (method, timeout)) from None
        if error:
            raise error
        return result

    def _request(self, method, params, settle):
        with self.gate:
            if self.over:
                raise Lost(self.why)
            self.last_id += 1
            id = self.last_id
            self.calls[id] = settle
        try:
            self._write({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
        except ValueError:  # too long; nothing was written
            with self.gate:
                self.calls.pop(id, None)
            raise
        except OSError:
            self.end("the connection failed while writing")  # which settles the call
        return id

    def _answer(self, id, body):
        try:
            self._write(dict({"jsonrpc": "2.0", "id": id}, **body))
        except OSError:
            self.end("the connection failed while writing")

    def _write(self, message):
        line = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n"
        if len(line) > MAX_LINE:
            raise ValueError("the message is longer than the 6 MiB of a line")
        with self.writing:
            self.pipe.write(line)


class _Once:
    """Calls once; later calls do nothing."""

    def __init__(self, f):
        self.f, self.lock = f, threading.Lock()

    def __call__(self, body):
        with self.lock:
            f, self.f = self.f, None
        if f:
            f(body)


def _status(returned):
    if returned is None:
        return None
    return _answered(*returned) if isinstance(returned, tuple) else _answered(returned)


def _answered(status, reason=None):
    return {"status": int(status), "reason": reason} if reason else {"status": int(status)}


def default_address():
    """Where the agent of this user listens: $CASTRAY_SOCKET, or what the system's conventions say."""
    if os.environ.get("CASTRAY_SOCKET"):
        return os.environ["CASTRAY_SOCKET"]
    if sys.platform == "win32":
        return r"\\.\pipe\castray-%s-%d" % _windows.self()
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Application Support/Castray/castray.sock")
    run = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = os.path.join(run, "castray") if os.path.isabs(run) else "/tmp/castray-%d" % os.getuid()
    return os.path.join(folder, "castray.sock")


def _connect(address):
    return _windows.Pipe(address) if sys.platform == "win32" else _Socket(address)


class _Socket:
    """The agent's Unix socket. read waits at most that long: None is silence, b"" the end."""

    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.s.settimeout(_WRITE_WITHIN)
            self.s.connect(path)
            if self._owner() != os.getuid():
                raise PermissionError(1, "the socket belongs to another user")
        except BaseException:
            self.s.close()
            raise
        self.poll = select.poll()
        self.poll.register(self.s, select.POLLIN)

    def _owner(self):
        if sys.platform == "linux":
            return struct.unpack("iII", self.s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        if sys.platform == "darwin":  # LOCAL_PEERCRED at SOL_LOCAL: struct xucred begins with version and uid
            return struct.unpack_from("II", self.s.getsockopt(0, 1, 76))[1]
        raise PermissionError(1, "this system does not tell who owns the socket")

    def read(self, timeout):
        if timeout <= 0 or not self.poll.poll(timeout * 1000):
            return None
        return self.s.recv(1 << 16)

    def write(self, data):
        self.s.sendall(data)

    def shutdown(self):
        try:
            self.s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        self.s.close()


if sys.platform == "win32":
    import _winapi
    import ctypes
    from ctypes import wintypes

    class _windows:
        """The named pipe, by overlapped reads and writes: of a file object one would wait for the other."""

        _k32, _adv = ctypes.WinDLL("kernel32", use_last_error=True), ctypes.WinDLL("advapi32", use_last_error=True)
        _k32.OpenProcess.restype = wintypes.HANDLE
        _k32.OpenProcess.argtypes = [wintypes.DWORD, wintypes.BOOL, wintypes.DWORD]
        _k32.LocalFree.argtypes = [ctypes.c_void_p]
        _k32.GetNamedPipeServerProcessId.argtypes = [wintypes.HANDLE, ctypes.POINTER(wintypes.DWORD)]
        _adv.OpenProcessToken.argtypes = [wintypes.HANDLE, wintypes.DWORD, ctypes.POINTER(wintypes.HANDLE)]
        _adv.GetTokenInformation.argtypes = [wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD,
                                             ctypes.POINTER(wintypes.DWORD)]
        _adv.ConvertSidToStringSidW.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)]

        @classmethod
        def sid_of(cls, pid):
            process = cls._k32.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
            if not process:
                raise ctypes.WinError(ctypes.get_last_error())
            token = wintypes.HANDLE()
            try:
                if not cls._adv.OpenProcessToken(process, 8, ctypes.byref(token)):  # TOKEN_QUERY
                    raise ctypes.WinError(ctypes.get_last_error())
            finally:
                _winapi.CloseHandle(process)
            try:
                user, size, text = ctypes.create_string_buffer(256), wintypes.DWORD(), ctypes.c_void_p()
                if not cls._adv.GetTokenInformation(token, 1, user, 256, ctypes.byref(size)):  # TokenUser
                    raise ctypes.WinError(ctypes.get_last_error())
                sid = ctypes.cast(user, ctypes.POINTER(ctypes.c_void_p))[0]
                if not cls._adv.ConvertSidToStringSidW(sid, ctypes.byref(text)):
                    raise ctypes.WinError(ctypes.get_last_error())
                try:
                    return ctypes.wstring_at(text.value)
                finally:
                    cls._k32.LocalFree(text)
            finally:
                _winapi.CloseHandle(token.value)

        @classmethod
        def self(cls):
            session = wintypes.DWORD()
            if not cls._k32.ProcessIdToSessionId(os.getpid(), ctypes.byref(session)):
                raise ctypes.WinError(ctypes.get_last_error())
            return cls.sid_of(os.getpid()), session.value

        class Pipe:
            def __init__(self, name):
                # Overlapped, and so that the server may learn who we are but not act in our name.
                flags = _winapi.FILE_FLAG_OVERLAPPED | 0x00100000 | 0x00010000  # SECURITY_SQOS_PRESENT | _IDENTIFICATION
                self.handle = _winapi.CreateFile(name, _winapi.GENERIC_READ | _winapi.GENERIC_WRITE, 0, 0,
                                                 _winapi.OPEN_EXISTING, flags, 0)
                self.gone, self.pending = threading.Event(), None
                pid = wintypes.DWORD()
                try:
                    if not _windows._k32.GetNamedPipeServerProcessId(self.handle, ctypes.byref(pid)):
                        raise ctypes.WinError(ctypes.get_last_error())
                    if _windows.sid_of(pid.value) != _windows.sid_of(os.getpid()):
                        raise PermissionError(1, "the pipe belongs to another user")
                except BaseException:
                    self.close()
                    raise

            def read(self, timeout):
                end = time.monotonic() + timeout
                try:
                    if self.pending is None:
                        self.pending, _ = _winapi.ReadFile(self.handle, 1 << 16, overlapped=True)
                    # In slices, so that shutdown of another thread is seen: closing the handle under a read is no way.
                    while _winapi.WaitForMultipleObjects([self.pending.event], False, 200) == _winapi.WAIT_TIMEOUT:
                        if self.gone.is_set() or time.monotonic() > end:
                            self.pending.cancel()
                            return b"" if self.gone.is_set() else None
                    done, self.pending = self.pending, None
                    count, _ = done.GetOverlappedResult(True)
                    return bytes(done.getbuffer()[:count])
                except BrokenPipeError:
                    return b""

            def write(self, data):
                while data:
                    ov, _ = _winapi.WriteFile(self.handle, data, overlapped=True)
                    wait = _winapi.WaitForMultipleObjects([ov.event], False, int(_WRITE_WITHIN * 1000))
                    if wait == _winapi.WAIT_TIMEOUT:
                        ov.cancel()
                        raise TimeoutError(110, "the agent does not read")
                    count, _ = ov.GetOverlappedResult(True)
                    data = data[count:]

            def shutdown(self):
                self.gone.set()

            def close(self):
                if self.handle:
                    _winapi.CloseHandle(self.handle)
                    self.handle = None
