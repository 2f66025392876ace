/* Client of Castray's local protocol, version 1, for .NET Framework 4.5 and newer, .NET, and mono. One file, no package.
 * Extend App, override the callbacks and call Run; Follow.cs beside this file follows a patient in 30 lines.
 * docs/local-protocol.md is the protocol.
 *
 * OUT OF SYNC is not "no patient". When the agent is not there, its connection ends, or no line came from it for 75 s,
 * what the app shows may be wrong: OutOfSync says so, and the app marks its screen. Run connects again by itself, after
 * pauses that grow from a quarter of a second to 15 s, and the agent then brings the app to the context by an event or a
 * clear, which ends it.
 *
 * Before a byte is sent it is checked that the agent is a process of the same user: on Linux and macOS by the
 * credentials of the socket's other end, on Windows by the owner of the pipe's server process. What is not checked: that
 * this process is the Castray program, which no client can; whoever runs programs as this user may be the agent. It is
 * tested with mono on Linux; Windows and .NET have been written by the documentation and not been run.
 *
 * Callbacks are called one after another, by a thread of their own (BeginInvoke to the thread of your user interface),
 * and may call the methods. OutOfSync is called by another thread, at once; and once more when a callback that ran at that
 * moment has returned, so that it has the last word. */
using System;
using System.Collections;
using System.Collections.Generic;
using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.IO.Pipes;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Security.Principal;
using System.Text;
using System.Threading;

namespace Castray
{
    /// <summary>What an app says to an event or a clear: 200 it follows, 202 heard but will not confirm, 4xx refused, 5xx
    /// failed. The reason is for a developer and holds no patient data.</summary>
    public sealed class Answer
    {
        public static readonly Answer Follows = new Answer(200, null), Heard = new Answer(202, null);
        public readonly int Status;
        public readonly string Reason;

        public Answer(int status, string reason)
        {
            Status = status;
            Reason = reason;
        }

        internal Dictionary<string, object> ToJson()
        {
            var j = new Dictionary<string, object> { { "status", Status } };
            if (Reason != null)
                j["reason"] = Reason;
            return j;
        }
    }

    /// <summary>The agent's answer to a call that it refused. The message is for a developer and names no patient.</summary>
    public sealed class RefusedException : Exception
    {
        public const int ContextUnknown = -32003; // which is not "no patient"
        public const int NotConnected = -32010; // of agent and hub; with data.unknown send again with the same id
        public readonly int Code;
        public readonly Dictionary<string, object> Details;

        internal RefusedException(int code, string message, Dictionary<string, object> details) : base(message + " (" + code + ")")
        {
            Code = code;
            Details = details;
        }
    }

    /// <summary>A context change; Name is hub.event, such as "Patient-open".</summary>
    public sealed class Event
    {
        public readonly string Id, Timestamp, Name;
        public readonly Dictionary<string, object> Body;
        public readonly bool Replay, Snapshot, Derived;
        readonly Action<Answer> answer;

        internal Event(Dictionary<string, object> p, Action<Answer> answer)
        {
            Id = Json.Text(p, "id");
            Timestamp = Json.Text(p, "timestamp");
            Body = Json.Object(p, "event");
            Name = Json.Text(Body, "hub.event");
            var mark = Json.Object(p, "castray");
            Replay = Json.Get(mark, "replay") as bool? == true;
            Snapshot = Json.Get(mark, "snapshot") as bool? == true;
            Derived = Json.Get(mark, "derived") as bool? == true;
            this.answer = answer;
        }

        /// <summary>The resource of the context's entry with that key, such as "patient"; null when there is none.</summary>
        public Dictionary<string, object> Resource(string key) { return Json.Resource(Body, key); }

        /// <summary>Answers an event whose callback returned null. Only the first answer counts; any thread may call it.</summary>
        public void Answer(Answer a) { answer(a); }
    }

    /// <summary>One app. Override the callbacks, set who it is, then Run.</summary>
    public abstract class App : IDisposable
    {
        public const int Protocol = 1;
        public const int SilenceSeconds = 75; // the agent sends a status at least every 30 s
        public const int MaxLine = 6 << 20;
        const double FirstPause = 0.25, LongestPause = 15;

        public readonly string Name;
        public string Version;
        public IList<string> Events; // null: all that the app may see; empty: none
        public bool Answers = true; // the agent waits for the app's answers
        public bool Shows; // Shown is overridden
        public string Address; // null: DefaultAddress()
        public double Silence = SilenceSeconds; // shorter is for tests

        readonly ManualResetEvent closed = new ManualResetEvent(false);
        volatile Connection connection;

        protected App(string name) { Name = name; }

        // ---- callbacks ----

        /// <summary>A context change. Null is no answer yet: Event.Answer follows.</summary>
        public virtual Answer Event(Event e) { return Answer.Heard; }

        /// <summary>Show no patient.</summary>
        public virtual Answer Clear(string reason) { return Answer.Heard; }

        /// <summary>What the app shows: an object {"patient": [{"system", "value"}], "study", "accession"} for each
        /// window.</summary>
        public virtual IList Shown() { return new object[0]; }

        /// <summary>How the agent is, on change and at least every 30 s.</summary>
        public virtual void Status(Dictionary<string, object> status) { }

        /// <summary>The agent has admitted the app. An event or a clear follows.</summary>
        public virtual void Admitted(Dictionary<string, object> hello) { }

        /// <summary>What the app shows may be wrong from now on, until the next event or clear.</summary>
        public virtual void OutOfSync(string why) { }

        /// <summary>A callback threw this; of an event or clear the agent has been told 500.</summary>
        public virtual void Failed(Exception e) { Console.Error.WriteLine(e); }

        /// <summary>The key of castray.json for an app with control; asked before each hello, since each run of the agent
        /// has another.</summary>
        public virtual string Key() { return null; }

        // ---- methods, for any thread ----

        /// <summary>Stays connected until Close is called. Throws RefusedException when the agent refuses the app for
        /// good.</summary>
        public void Run()
        {
            var random = new Random(Process.GetCurrentProcess().Id ^ Environment.TickCount);
            var told = false;
            for (var tries = 0; !IsClosed; tries++)
            {
                var began = Stopwatch.StartNew();
                var why = "no agent is running";
                var admitted = false;
                try
                {
                    var c = new Connection(this);
                    connection = c;
                    if (IsClosed)
                        c.End("the app left");
                    why = c.Serve();
                    admitted = c.IsAdmitted;
                    if (c.IsRefusedForGood)
                        throw c.Refused;
                }
                catch (SocketException) { }
                catch (TimeoutException) { } // no such pipe
                catch (IOException e) { why = e.Message; }
                catch (UnauthorizedAccessException e) { why = e.Message; }
                finally { connection = null; }
                if (IsClosed)
                    return;
                if (!admitted && !told)
                    OutOfSync(why);
                told = true; // of an admitted connection Serve has told
                if (admitted && began.Elapsed.TotalSeconds > LongestPause)
                    tries = 0;
                var longest = Math.Min(FirstPause * (1 << Math.Min(tries, 10)), LongestPause);
                closed.WaitOne(TimeSpan.FromSeconds(longest / 2 + random.NextDouble() * longest / 2));
            }
        }

        internal bool IsClosed { get { return closed.WaitOne(0); } }

        /// <summary>Leaves. Run then returns, after the callback that runs.</summary>
        public void Close()
        {
            closed.Set();
            var c = connection;
            if (c != null)
                c.End("the app left");
        }

        public void Dispose() { Close(); }

        /// <summary>Calls a method of the agent. RefusedException: it refused. IOException: there is no connection, it ended
        /// first, or no answer came in 40 s.</summary>
        public object Call(string method, Dictionary<string, object> parameters)
        {
            var c = connection;
            if (c == null || !c.IsAdmitted)
                throw new IOException("not connected to the agent");
            object result = null;
            Exception error = null;
            using (var answered = new ManualResetEventSlim())
            {
                var id = c.Request(method, parameters, (value, e) =>
                {
                    result = value;
                    error = e;
                    answered.Set();
                });
                if (!answered.Wait(TimeSpan.FromSeconds(40)) && c.Forget(id))
                    throw new IOException(method + ": no answer within 40 s");
                answered.Wait();
            }
            if (error != null)
                throw error;
            return result;
        }

        /// <summary>{"current": event or null, "open": [...]}. RefusedException with ContextUnknown when it is not
        /// known.</summary>
        public Dictionary<string, object> Context()
        {
            return Json.Map(Call("context", new Dictionary<string, object>()));
        }

        /// <summary>Requests a context change; returns {"id", "status"} when the hub accepted. id null: one is made. When the
        /// answer is lost (IOException, or NotConnected with data.unknown) send again with the same id. version null, or the
        /// version of shared content that an update builds on.</summary>
        public Dictionary<string, object> Send(string id, string eventName, IList context, string version)
        {
            var p = new Dictionary<string, object> { { "id", id ?? Guid.NewGuid().ToString() }, { "event", eventName }, { "context", context } };
            if (version != null)
                p["version"] = version;
            return Json.Map(Call("send", p));
        }

        /// <summary>Replaces the events wanted, after a reconnect too; null is all that the app may see.</summary>
        public void Subscribe(IList<string> events)
        {
            Events = events;
            var p = new Dictionary<string, object>();
            if (events != null)
                p["events"] = events;
            Call("subscribe", p);
        }

        /// <summary>Where the agent of this user listens: $CASTRAY_SOCKET, or what the system's conventions say.</summary>
        public static string DefaultAddress()
        {
            var said = Environment.GetEnvironmentVariable("CASTRAY_SOCKET");
            if (!string.IsNullOrEmpty(said))
                return said;
            if (Pipe.IsWindows)
                return @"\\.\pipe\castray-" + WindowsPipe.Us() + "-" + Process.GetCurrentProcess().SessionId;
            if (File.Exists("/System/Library/CoreServices/SystemVersion.plist"))
                return Environment.GetEnvironmentVariable("HOME") + "/Library/Application Support/Castray/castray.sock";
            var run = Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR") ?? "";
            return (run.StartsWith("/", StringComparison.Ordinal) ? run + "/castray" : "/tmp/castray-" + UnixSocket.Us()) + "/castray.sock";
        }
    }

    /// <summary>One connection from hello to its end. Serve reads; a thread beside it calls back, and a timer watches
    /// silence.</summary>
    sealed class Connection
    {
        const int MaxWaiting = 256; // messages that wait for a callback; one more ends the connection
        const double HelloWithin = 10;
        const int VersionDiffers = -32001, NotAllowed = -32007;

        sealed class Job
        {
            public Func<object> Callback; // null when the answer follows
            public Action<string, object> Answer;
        }

        readonly App app;
        readonly Pipe pipe;
        readonly object gate = new object(), writing = new object();
        readonly Dictionary<long, Action<object, Exception>> calls = new Dictionary<long, Action<object, Exception>>();
        readonly Queue<Job> jobs = new Queue<Job>(); // with gate, as all below
        readonly Stopwatch sinceLine = Stopwatch.StartNew();
        long lastId;
        bool over, busy, saidKey;
        string why;
        volatile bool admitted;

        public RefusedException Refused;
        public bool IsAdmitted { get { return admitted; } }

        // Not allowed is nothing for good for an app with a key: an agent that starts listens first and writes its new key then.
        public bool IsRefusedForGood
        {
            get { return Refused != null && (Array.IndexOf(new[] { VersionDiffers, -32600, -32601, -32602 }, Refused.Code) >= 0 || Refused.Code == NotAllowed && !saidKey); }
        }

        public Connection(App app)
        {
            this.app = app;
            pipe = Pipe.Open(app.Address ?? App.DefaultAddress());
        }

        /// <summary>Reads until the connection ends, and returns why.</summary>
        public string Serve()
        {
            var worker = new Thread(Work) { IsBackground = true, Name = "castray callbacks" };
            var alarm = new Thread(Watch) { IsBackground = true, Name = "castray silence" };
            worker.Start();
            alarm.Start();
            try
            {
                Hello();
                Read();
                End("the agent closed the connection");
            }
            catch (Exception e)
            {
                // A line that cannot be read may have been a change of patient: what the app shows is in doubt.
                End("the connection failed: " + e.GetType().Name);
            }
            bool wasBusy;
            lock (gate)
                wasBusy = busy;
            Tell();
            worker.Join();
            alarm.Join();
            pipe.Dispose();
            if (wasBusy)
                Tell();
            return why;
        }

        void Tell()
        {
            if (admitted && !app.IsClosed)
                app.OutOfSync(why);
        }

        /// <summary>Ends the connection, once; no callback begins after it.</summary>
        public void End(string reason)
        {
            List<Action<object, Exception>> waiting;
            lock (gate)
            {
                if (over)
                    return;
                over = true;
                why = reason;
                waiting = new List<Action<object, Exception>>(calls.Values);
                calls.Clear();
                Monitor.PulseAll(gate);
            }
            pipe.Shutdown();
            foreach (var w in waiting)
                w(null, new IOException(reason));
        }

        // Ends the connection after silence. Only a whole line counts as a sign of life.
        void Watch()
        {
            while (true)
            {
                var patience = Math.Min(admitted ? App.SilenceSeconds : HelloWithin, app.Silence);
                lock (gate)
                {
                    if (over)
                        return;
                    var left = patience - sinceLine.Elapsed.TotalSeconds;
                    if (left > 0)
                    {
                        Monitor.Wait(gate, TimeSpan.FromSeconds(left));
                        continue;
                    }
                }
                End("no line came from the agent for " + patience + " s");
                return;
            }
        }

        void Hello()
        {
            var hello = new Dictionary<string, object> { { "protocol", App.Protocol }, { "name", app.Name }, { "answers", app.Answers }, { "shows", app.Shows } };
            if (app.Version != null)
                hello["version"] = app.Version;
            if (app.Events != null)
                hello["events"] = app.Events;
            var key = app.Key();
            saidKey = key != null;
            if (saidKey)
                hello["key"] = key;
            Request("hello", hello, HelloAnswered);
        }

        void HelloAnswered(object result, Exception error)
        {
            if (error == null && !(Json.Get(Json.Map(result), "protocol") is long && (long)Json.Get(Json.Map(result), "protocol") == App.Protocol))
                error = new RefusedException(VersionDiffers, "the agent and this app speak different versions: update the older of the two", null);
            if (error != null)
            {
                Refused = error as RefusedException;
                End(error.Message);
                return;
            }
            admitted = true;
            Enqueue(() =>
            {
                app.Admitted(Json.Map(result));
                return null;
            }, (member, body) => { });
        }

        void Read()
        {
            var part = new byte[1 << 16];
            var line = new MemoryStream();
            int n;
            while ((n = pipe.Read(part)) > 0)
            {
                for (var from = 0; from < n;)
                {
                    var end = Array.IndexOf(part, (byte)'\n', from, n - from);
                    var upTo = end < 0 ? n : end;
                    line.Write(part, from, upTo - from);
                    if (line.Length > App.MaxLine + 1)
                    {
                        End("a line is longer than 6 MiB");
                        return;
                    }
                    from = upTo + 1;
                    if (end < 0)
                        continue;
                    Take(line);
                    if (line.Capacity > 1 << 20)
                        line = new MemoryStream(); // one large event must not be paid for ever
                    line.SetLength(0);
                }
            }
            // What is left is half a message and never believed.
        }

        void Take(MemoryStream line)
        {
            var text = new UTF8Encoding(false, true).GetString(line.GetBuffer(), 0, (int)line.Length);
            if (text.Trim().Length == 0)
                return;
            lock (gate)
                sinceLine.Restart();
            var message = Json.Map(Json.Parse(text));
            object id = Json.Get(message, "id"), method = Json.Get(message, "method");
            if (method == null)
            {
                Settle(id, message);
                return;
            }
            var p = Json.Object(message, "params");
            var answered = 0;
            Action<string, object> answer = (member, body) =>
            {
                if (id != null && Interlocked.Exchange(ref answered, 1) == 0)
                    Write(Line("id", id, member, body));
            };
            switch (method as string)
            {
                case "event":
                    var e = new Event(p, a => answer("result", a.ToJson()));
                    Enqueue(() => OrNull(app.Event(e)), answer);
                    break;
                case "clear":
                    Enqueue(() => OrNull(app.Clear(Json.Text(p, "reason"))), answer);
                    break;
                case "shown":
                    if (!app.Shows)
                        goto default;
                    Enqueue(() => new Dictionary<string, object> { { "windows", app.Shown() } }, answer);
                    break;
                case "status":
                    Enqueue(() =>
                    {
                        app.Status(p);
                        return new Dictionary<string, object>();
                    }, answer);
                    break;
                default:
                    answer("error", new Dictionary<string, object> { { "code", -32601 }, { "message", "this app knows no such method" } });
                    break;
            }
        }

        static object OrNull(Answer a) { return a == null ? null : a.ToJson(); }

        void Settle(object id, Dictionary<string, object> message)
        {
            Action<object, Exception> waiting;
            lock (gate)
            {
                if (!(id is long) || !calls.TryGetValue((long)id, out waiting))
                    return;
                calls.Remove((long)id);
            }
            if (Json.Get(message, "error") == null)
            {
                waiting(Json.Get(message, "result"), null);
                return;
            }
            var error = Json.Object(message, "error");
            var code = Json.Get(error, "code");
            waiting(null, new RefusedException(code is long ? (int)(long)code : -32603, Json.Text(error, "message"), Json.Object(error, "data")));
        }

        void Enqueue(Func<object> callback, Action<string, object> answer)
        {
            lock (gate)
            {
                if (jobs.Count < MaxWaiting)
                {
                    jobs.Enqueue(new Job { Callback = callback, Answer = answer });
                    Monitor.PulseAll(gate);
                    return;
                }
            }
            End("the app does not keep up: 256 messages wait");
        }

        void Work()
        {
            while (true)
            {
                Job job;
                lock (gate)
                {
                    busy = false;
                    while (!over && jobs.Count == 0)
                        Monitor.Wait(gate);
                    if (over)
                        return;
                    job = jobs.Dequeue();
                    busy = true;
                }
                try
                {
                    var result = job.Callback();
                    if (result != null)
                        job.Answer("result", result);
                }
                catch (Exception e) // the app's mistake: the agent must hear that it does not follow, the app goes on
                {
                    job.Answer("result", new Answer(500, "the app's callback failed").ToJson());
                    app.Failed(e);
                }
            }
        }

        public long Request(string method, Dictionary<string, object> parameters, Action<object, Exception> done)
        {
            long id;
            lock (gate)
            {
                if (over)
                    throw new IOException(why);
                id = ++lastId;
                calls[id] = done;
            }
            var line = Line("id", id, "method", method, "params", parameters);
            if (line.Length > App.MaxLine)
            {
                Forget(id);
                throw new IOException("the message is longer than the 6 MiB of a line");
            }
            Write(line);
            return id;
        }

        /// <summary>False when the answer is there, or on its way to the caller.</summary>
        public bool Forget(long id)
        {
            lock (gate)
                return calls.Remove(id);
        }

        static byte[] Line(params object[] members)
        {
            var message = new Dictionary<string, object> { { "jsonrpc", "2.0" } };
            for (var i = 0; i < members.Length; i += 2)
                message[(string)members[i]] = members[i + 1];
            var text = new StringBuilder();
            Json.Print(message, text);
            return new UTF8Encoding(false).GetBytes(text.Append('\n').ToString());
        }

        // What cannot be written ends the connection, which settles all that wait.
        void Write(byte[] line)
        {
            try
            {
                lock (writing)
                    pipe.Write(line);
            }
            catch (Exception)
            {
                End("the connection failed while writing");
            }
        }
    }

    /// <summary>The transport. Shutdown, by any thread, ends a read or a write that waits.</summary>
    abstract class Pipe : IDisposable
    {
        public static readonly bool IsWindows = Path.DirectorySeparatorChar == '\\';

        public static Pipe Open(string address) { return IsWindows ? (Pipe)new WindowsPipe(address) : new UnixSocket(address); }

        public abstract int Read(byte[] to);
        public abstract void Write(byte[] from);
        public abstract void Shutdown();
        public abstract void Dispose();
    }

    sealed class UnixSocket : Pipe
    {
        [DllImport("libc")]
        static extern uint getuid();

        [DllImport("libc")]
        static extern int getpeereid(int socket, out uint uid, out uint gid);

        [DllImport("libc")]
        static extern int getsockopt(int socket, int level, int name, uint[] value, ref int length);

        // .NET Framework has no address of this family.
        sealed class UnixAddress : EndPoint
        {
            readonly byte[] path;
            public UnixAddress(string path) { this.path = new UTF8Encoding(false).GetBytes(path + "\0"); }
            public override AddressFamily AddressFamily { get { return AddressFamily.Unix; } }

            public override SocketAddress Serialize()
            {
                var a = new SocketAddress(AddressFamily.Unix, 2 + path.Length);
                for (var i = 0; i < path.Length; i++)
                    a[2 + i] = path[i];
                return a;
            }
        }

        readonly Socket socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) { SendTimeout = 10000 };

        public UnixSocket(string path)
        {
            try
            {
                socket.Connect(new UnixAddress(path));
                if (Them() != Us())
                    throw new UnauthorizedAccessException("the socket belongs to another user");
            }
            catch
            {
                socket.Close();
                throw;
            }
        }

        public static uint Us() { return getuid(); }

        uint Them()
        {
            uint uid, gid;
            try
            {
                if (getpeereid((int)socket.Handle, out uid, out gid) == 0)
                    return uid;
            }
            catch (EntryPointNotFoundException) // Linux
            {
                var credentials = new uint[3]; // pid, uid, gid
                var length = 12;
                if (getsockopt((int)socket.Handle, 1, 17, credentials, ref length) == 0 && length == 12) // SOL_SOCKET, SO_PEERCRED
                    return credentials[1];
            }
            throw new UnauthorizedAccessException("this system does not tell who owns the socket");
        }

        public override int Read(byte[] to) { return socket.Receive(to); }

        public override void Write(byte[] from)
        {
            for (var n = 0; n < from.Length;)
                n += socket.Send(from, n, from.Length - n, SocketFlags.None);
        }

        public override void Shutdown()
        {
            try
            {
                socket.Shutdown(SocketShutdown.Both);
            }
            catch (SocketException) { } // it has ended already
            catch (ObjectDisposedException) { }
        }

        public override void Dispose() { socket.Close(); }
    }

    sealed class WindowsPipe : Pipe
    {
        [DllImport("kernel32", SetLastError = true)]
        static extern bool GetNamedPipeServerProcessId(SafeHandle pipe, out uint pid);

        [DllImport("kernel32", SetLastError = true)]
        static extern IntPtr OpenProcess(uint access, bool inherit, uint pid);

        [DllImport("kernel32")]
        static extern bool CloseHandle(IntPtr handle);

        [DllImport("kernel32")]
        static extern bool CancelIoEx(SafeHandle handle, IntPtr overlapped);

        [DllImport("advapi32", SetLastError = true)]
        static extern bool OpenProcessToken(IntPtr process, uint access, out IntPtr token);

        readonly NamedPipeClientStream stream;

        public WindowsPipe(string address)
        {
            var name = address.StartsWith(@"\\.\pipe\", StringComparison.OrdinalIgnoreCase) ? address.Substring(9) : address;
            // So that the server may learn who we are, but cannot act in our name.
            stream = new NamedPipeClientStream(".", name, PipeDirection.InOut, PipeOptions.Asynchronous, TokenImpersonationLevel.Identification);
            try
            {
                stream.Connect(0);
                uint pid;
                if (!GetNamedPipeServerProcessId(stream.SafePipeHandle, out pid) || UserOf(pid) != Us())
                    throw new UnauthorizedAccessException("the pipe belongs to another user");
            }
            catch
            {
                stream.Dispose();
                throw;
            }
        }

        public static string Us()
        {
            using (var us = WindowsIdentity.GetCurrent())
                return us.User.Value;
        }

        static string UserOf(uint pid)
        {
            var process = OpenProcess(0x1000, false, pid); // PROCESS_QUERY_LIMITED_INFORMATION
            var token = IntPtr.Zero;
            try
            {
                if (process == IntPtr.Zero || !OpenProcessToken(process, 8 | 2, out token)) // TOKEN_QUERY, TOKEN_DUPLICATE
                    throw new IOException(new Win32Exception().Message);
                using (var them = new WindowsIdentity(token))
                    return them.User.Value;
            }
            finally
            {
                CloseHandle(token);
                CloseHandle(process);
            }
        }

        public override int Read(byte[] to) { return stream.Read(to, 0, to.Length); }

        public override void Write(byte[] from) { stream.Write(from, 0, from.Length); }

        // A handle that is disposed of while a read waits stays open until that ends.
        public override void Shutdown() { CancelIoEx(stream.SafePipeHandle, IntPtr.Zero); }

        public override void Dispose() { stream.Dispose(); }
    }

    /// <summary>JSON as Dictionary, List, string, long, double, bool and null.</summary>
    public static class Json
    {
        const int MaxDepth = 1000;

        /// <summary>The value as an object; empty when it is none.</summary>
        public static Dictionary<string, object> Map(object value)
        {
            return value as Dictionary<string, object> ?? new Dictionary<string, object>();
        }

        /// <summary>The member; null when there is none.</summary>
        public static object Get(Dictionary<string, object> of, string member)
        {
            object v;
            return of.TryGetValue(member, out v) ? v : null;
        }

        public static Dictionary<string, object> Object(Dictionary<string, object> of, string member) { return Map(Get(of, member)); }

        public static string Text(Dictionary<string, object> of, string member) { return Get(of, member) as string ?? ""; }

        /// <summary>The resource in an event's context with that key; null when there is none.</summary>
        public static Dictionary<string, object> Resource(Dictionary<string, object> body, string key)
        {
            foreach (var entry in Get(body, "context") as List<object> ?? new List<object>())
                if (Text(Map(entry), "key") == key)
                    return Object(Map(entry), "resource");
            return null;
        }

        /// <summary>Reads one value. FormatException when it is none; its text shows nothing of it.</summary>
        public static object Parse(string text)
        {
            var at = 0;
            var v = Value(text, ref at, 0);
            Blanks(text, ref at);
            if (at != text.Length)
                throw Bad(at);
            return v;
        }

        static FormatException Bad(int at) { return new FormatException("not valid JSON at " + at); }

        static void Blanks(string s, ref int at)
        {
            while (at < s.Length && (s[at] == ' ' || s[at] == '\t' || s[at] == '\r' || s[at] == '\n'))
                at++;
        }

        static bool Next(string s, ref int at, char c)
        {
            Blanks(s, ref at);
            if (at == s.Length || s[at] != c)
                return false;
            at++;
            return true;
        }

        static void Must(string s, ref int at, char c)
        {
            if (!Next(s, ref at, c))
                throw Bad(at);
        }

        static object Value(string s, ref int at, int depth)
        {
            Blanks(s, ref at);
            if (at == s.Length || depth > MaxDepth)
                throw Bad(at);
            switch (s[at])
            {
                case '{': return Members(s, ref at, depth);
                case '[': return Elements(s, ref at, depth);
                case '"': return String(s, ref at);
                case 't': return Word(s, ref at, "true", true);
                case 'f': return Word(s, ref at, "false", false);
                case 'n': return Word(s, ref at, "null", null);
            }
            return Number(s, ref at);
        }

        static Dictionary<string, object> Members(string s, ref int at, int depth)
        {
            var m = new Dictionary<string, object>();
            Must(s, ref at, '{');
            if (Next(s, ref at, '}'))
                return m;
            do
            {
                Blanks(s, ref at);
                var name = String(s, ref at);
                Must(s, ref at, ':');
                m[name] = Value(s, ref at, depth + 1);
            } while (Next(s, ref at, ','));
            Must(s, ref at, '}');
            return m;
        }

        static List<object> Elements(string s, ref int at, int depth)
        {
            var l = new List<object>();
            Must(s, ref at, '[');
            if (Next(s, ref at, ']'))
                return l;
            do
                l.Add(Value(s, ref at, depth + 1));
            while (Next(s, ref at, ','));
            Must(s, ref at, ']');
            return l;
        }

        static object Word(string s, ref int at, string word, object value)
        {
            if (string.CompareOrdinal(s, at, word, 0, word.Length) != 0)
                throw Bad(at);
            at += word.Length;
            return value;
        }

        static bool Digits(string s, ref int at)
        {
            var from = at;
            while (at < s.Length && s[at] >= '0' && s[at] <= '9')
                at++;
            return at > from;
        }

        static object Number(string s, ref int at)
        {
            var from = at;
            var whole = true;
            if (s[at] == '-')
                at++;
            if (at < s.Length && s[at] == '0')
                at++;
            else if (!Digits(s, ref at))
                throw Bad(at);
            if (at < s.Length && s[at] == '.')
            {
                whole = false;
                at++;
                if (!Digits(s, ref at))
                    throw Bad(at);
            }
            if (at < s.Length && (s[at] == 'e' || s[at] == 'E'))
            {
                whole = false;
                at++;
                if (at < s.Length && (s[at] == '+' || s[at] == '-'))
                    at++;
                if (!Digits(s, ref at))
                    throw Bad(at);
            }
            var text = s.Substring(from, at - from);
            long n;
            double d;
            if (whole && long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out n))
                return n;
            // .NET Framework refuses what is too large, .NET makes it infinite.
            return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out d) ? d : double.PositiveInfinity;
        }

        static string String(string s, ref int at)
        {
            if (at == s.Length || s[at++] != '"')
                throw Bad(at);
            var b = new StringBuilder();
            while (true)
            {
                var from = at;
                while (at < s.Length && s[at] != '"' && s[at] != '\\' && s[at] >= ' ')
                    at++;
                b.Append(s, from, at - from);
                if (at == s.Length || s[at] < ' ')
                    throw Bad(at);
                if (s[at++] == '"')
                    return b.ToString();
                b.Append(Escaped(s, ref at));
            }
        }

        static char Escaped(string s, ref int at)
        {
            var meant = at < s.Length ? "\"\\/bfnrtu".IndexOf(s[at++]) : -1;
            if (meant < 0)
                throw Bad(at);
            if (meant < 8)
                return "\"\\/\b\f\n\r\t"[meant];
            ushort unit;
            if (at + 4 > s.Length || !ushort.TryParse(s.Substring(at, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out unit))
                throw Bad(at);
            at += 4;
            return (char)unit;
        }

        internal static void Print(object v, StringBuilder to)
        {
            var between = "";
            if (v == null)
                to.Append("null");
            else if (v is string)
                Quote((string)v, to);
            else if (v is bool)
                to.Append((bool)v ? "true" : "false");
            else if (v is IDictionary)
            {
                to.Append('{');
                foreach (DictionaryEntry e in (IDictionary)v)
                {
                    to.Append(between);
                    Quote((string)e.Key, to);
                    to.Append(':');
                    Print(e.Value, to);
                    between = ",";
                }
                to.Append('}');
            }
            else if (v is IEnumerable)
            {
                to.Append('[');
                foreach (var e in (IEnumerable)v)
                {
                    to.Append(between);
                    Print(e, to);
                    between = ",";
                }
                to.Append(']');
            }
            else if (v is double)
                to.Append(((double)v).ToString("R", CultureInfo.InvariantCulture));
            else
                to.Append(((IFormattable)v).ToString(null, CultureInfo.InvariantCulture));
        }

        static void Quote(string s, StringBuilder to)
        {
            to.Append('"');
            foreach (var c in s)
                if (c == '"' || c == '\\')
                    to.Append('\\').Append(c);
                else if (c < ' ' || char.IsSurrogate(c)) // half a pair would be no UTF-8
                    to.Append("\\u").Append(((int)c).ToString("x4", CultureInfo.InvariantCulture));
                else
                    to.Append(c);
            to.Append('"');
        }
    }
}
