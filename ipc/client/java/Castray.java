import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.AsynchronousFileChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.UserPrincipal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * Client of Castray's local protocol, version 1, for Java 17 and newer. One file, nothing but the JDK. Extend it, override
 * the callbacks and call run(); Follow.java beside it follows a patient in 30 lines. docs/local-protocol.md is the
 * protocol.
 *
 * <p>OUT OF SYNC is not "no patient". When the agent is not there, its connection ends, or no line came from it for 75 s,
 * what the app shows may be wrong: outOfSync says so, and the app marks its screen. run connects again by itself, after
 * pauses that grow from a quarter of a second to 15 s, and the agent then brings the app to the context by an event or a
 * clear, which ends it.
 *
 * <p>On Linux and macOS it is checked, before a byte is sent, that the agent is a process of the same user, by the
 * credentials of the socket's other end. On Windows Java cannot tell who serves a pipe, and it is NOT checked; there the
 * name of the pipe, which has the user's SID in it, is all there is: another user who made a pipe of that name before the
 * agent started would be believed, and could act in the user's name, since Java cannot forbid a server that either. What is checked nowhere: that the process is the Castray program. Windows has been
 * written by the documentation and not been run.
 *
 * <p>Callbacks are called one after another, by a thread of their own, and may call the methods. outOfSync is called by
 * another thread, at once; and once more when a callback that ran at that moment has returned, so that it has the last
 * word. JSON is Map, List, String, Long, Double, Boolean and null.
 */
public abstract class Castray implements AutoCloseable {
    public static final int PROTOCOL = 1;
    public static final int SILENCE_SECONDS = 75; // the agent sends a status at least every 30 s
    public static final int MAX_LINE = 6 << 20;
    public static final int CONTEXT_UNKNOWN = -32003; // which is not "no patient"
    public static final int NOT_CONNECTED = -32010; // of agent and hub; with data.unknown send again with the same id

    private static final int VERSION = -32001, NOT_ALLOWED = -32007;
    private static final List<Integer> FOR_GOOD = List.of(VERSION, -32600, -32601, -32602);
    private static final int MAX_WAITING = 256; // messages that wait for a callback; one more ends the connection
    private static final int HELLO_WITHIN_SECONDS = 10;
    private static final long FIRST_PAUSE_MS = 250, LONGEST_PAUSE_MS = 15_000;

    /** What an app says to an event or a clear: 200 it follows, 202 heard but will not confirm, 4xx refused, 5xx failed. */
    public record Answer(int status, String reason) {
        public static final Answer FOLLOWS = new Answer(200, null);
        public static final Answer HEARD = new Answer(202, null);

        Map<String, Object> json() {
            return reason == null ? Map.of("status", status) : Map.of("status", status, "reason", reason);
        }
    }

    /** The agent's answer to a call that it refused. The message is for a developer and names no patient. */
    public static final class Refused extends Exception {
        private static final long serialVersionUID = 1;
        public final int code;
        public final transient Map<String, Object> data;

        Refused(int code, String message, Map<String, Object> data) {
            super(message + " (" + code + ")");
            this.code = code;
            this.data = data;
        }
    }

    /** A context change; name is hub.event, such as "Patient-open". */
    public static final class Event {
        public final String id, timestamp, name;
        public final Map<String, Object> event;
        public final boolean replay, snapshot, derived;
        private final Consumer<Answer> answer;

        Event(Map<String, Object> params, Consumer<Answer> answer) {
            id = string(params, "id");
            timestamp = string(params, "timestamp");
            event = object(params, "event");
            name = string(event, "hub.event");
            Map<String, Object> mark = object(params, "castray");
            replay = Boolean.TRUE.equals(mark.get("replay"));
            snapshot = Boolean.TRUE.equals(mark.get("snapshot"));
            derived = Boolean.TRUE.equals(mark.get("derived"));
            this.answer = answer;
        }

        /** The resource of the context's entry with that key, such as "patient"; null when there is none. */
        public Map<String, Object> resource(String key) {
            return Castray.resource(event, key);
        }

        /** Answers an event whose callback returned null. Only the first answer counts; any thread may call it. */
        public void answer(Answer a) {
            answer.accept(a);
        }
    }

    // ---- who the app is: set before run ----

    protected final String name;
    protected String version;
    protected List<String> events; // null: all that the app may see; empty: none
    protected boolean answers = true; // the agent waits for the app's answers
    protected boolean shows; // shown() is overridden
    protected String address; // null: defaultAddress()
    protected double silenceSeconds = SILENCE_SECONDS; // shorter than 75 s is for tests

    protected Castray(String name) {
        this.name = name;
    }

    // ---- callbacks ----

    /** A context change. Null is no answer yet: Event.answer follows. */
    protected Answer event(Event e) throws Exception {
        return Answer.HEARD;
    }

    /** Show no patient. */
    protected Answer clear(String reason) throws Exception {
        return Answer.HEARD;
    }

    /** What the app shows: a map {"patient": [{"system", "value"}], "study", "accession"} for each window. */
    protected List<Map<String, Object>> shown() throws Exception {
        return List.of();
    }

    /** How the agent is, on change and at least every 30 s. */
    protected void status(Map<String, Object> status) throws Exception {}

    /** The agent has admitted the app. An event or a clear follows. */
    protected void admitted(Map<String, Object> hello) throws Exception {}

    /** What the app shows may be wrong from now on, until the next event or clear. */
    protected void outOfSync(String why) {}

    /** A callback threw this; of an event or clear the agent has been told 500. */
    protected void failed(Exception e) {
        e.printStackTrace();
    }

    /** The key of castray.json for an app with control; asked before each hello, since each run of the agent has another. */
    protected String key() throws IOException {
        return null;
    }

    // ---- methods, for any thread ----

    private final CompletableFuture<Void> closed = new CompletableFuture<>();
    private volatile Connection connection;

    /** Stays connected until close() is called. Throws Refused when the agent refuses the app for good. */
    public void run() throws Refused, InterruptedException {
        boolean told = false;
        for (int tries = 0; !closed.isDone(); tries++) {
            long began = System.nanoTime();
            String why;
            boolean admitted = false;
            try {
                Connection c = new Connection();
                connection = c;
                if (closed.isDone()) {
                    c.end("the app left");
                }
                why = c.serve();
                admitted = c.admitted;
                if (c.refused != null && (FOR_GOOD.contains(c.refused.code) || c.refused.code == NOT_ALLOWED && !c.saidKey)) {
                    throw c.refused;
                }
            } catch (NoSuchFileException | java.net.ConnectException e) {
                why = "no agent is running";
            } catch (IOException e) {
                why = "the agent cannot be reached";
            } finally {
                connection = null;
            }
            if (closed.isDone()) {
                return;
            }
            if (!admitted && !told) {
                outOfSync(why);
            }
            told = true; // of an admitted connection serve has told
            if (admitted && System.nanoTime() - began > LONGEST_PAUSE_MS * 1_000_000) {
                tries = 0;
            }
            long longest = Math.min(FIRST_PAUSE_MS << Math.min(tries, 10), LONGEST_PAUSE_MS);
            try {
                closed.get(longest / 2 + ThreadLocalRandom.current().nextLong(longest / 2), TimeUnit.MILLISECONDS);
            } catch (TimeoutException | ExecutionException e) {
                // the pause is over
            }
        }
    }

    /** Leaves. run then returns, after the callback that runs. */
    @Override
    public void close() {
        closed.complete(null);
        Connection c = connection;
        if (c != null) {
            c.end("the app left");
        }
    }

    /** Calls a method of the agent. IOException: there is no connection, it ended first, or no answer came in 40 s. */
    public Object call(String method, Map<String, Object> params) throws Refused, IOException, InterruptedException {
        Connection c = connection;
        if (c == null || !c.admitted) {
            throw new IOException("not connected to the agent");
        }
        CompletableFuture<Object> result = new CompletableFuture<>();
        c.request(method, params, (value, error) -> {
            if (error == null) {
                result.complete(value);
            } else {
                result.completeExceptionally(error);
            }
        });
        try {
            return result.get(40, TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            throw new IOException(method + ": no answer within 40 s");
        } catch (ExecutionException e) {
            if (e.getCause() instanceof Refused r) {
                throw r;
            }
            throw new IOException(e.getCause().getMessage());
        }
    }

    /** {"current": event or null, "open": [...]}. Refused with CONTEXT_UNKNOWN when it is not known. */
    public Map<String, Object> context() throws Refused, IOException, InterruptedException {
        return map(call("context", Map.of()));
    }

    /**
     * Requests a context change; returns {"id", "status"} when the hub accepted. id null: one is made. When the answer is lost
     * (IOException, or NOT_CONNECTED with data.unknown) send again with the same id. version null, or the version of
     * shared content that an update builds on.
     */
    public Map<String, Object> send(String id, String event, List<?> context, String version)
            throws Refused, IOException, InterruptedException {
        Map<String, Object> params = new LinkedHashMap<>();
        params.put("id", id == null ? UUID.randomUUID().toString() : id);
        params.put("event", event);
        params.put("context", context);
        if (version != null) {
            params.put("version", version);
        }
        return map(call("send", params));
    }

    /** Replaces the events wanted, after a reconnect too; null is all that the app may see. */
    public void subscribe(List<String> events) throws Refused, IOException, InterruptedException {
        this.events = events;
        call("subscribe", events == null ? Map.of() : Map.of("events", events));
    }

    // ---- one connection ----

    private record Job(Callback callback, Consumer<Map<String, Object>> answer) {}

    /** What a callback makes of a request: the result, or null when it follows. */
    private interface Callback {
        Object call() throws Exception;
    }

    private final class Connection {
        private final Pipe pipe = Pipe.open(address != null ? address : defaultAddress());
        private final Map<Long, BiConsumer<Object, Exception>> calls = new HashMap<>(); // guarded by this
        private final LinkedBlockingQueue<Job> jobs = new LinkedBlockingQueue<>();
        private final Job last = new Job(null, null);
        private final Thread alarm = new Thread(this::watch, "castray silence");
        private long lastId; // guarded by this
        private boolean over, busy; // guarded by this
        private String why; // guarded by this
        private volatile long heard = System.nanoTime();
        private volatile boolean saidKey;
        volatile boolean admitted;
        volatile Refused refused;

        Connection() throws IOException {}

        /** Reads until the connection ends, and returns why. */
        String serve() throws InterruptedException {
            Thread worker = new Thread(this::work, "castray callbacks");
            worker.setDaemon(true);
            worker.start();
            alarm.setDaemon(true);
            alarm.start();
            try {
                hello();
                read();
                end("the agent closed the connection");
            } catch (IOException | RuntimeException e) {
                // A line that cannot be read may have been a change of patient: what the app shows is in doubt.
                end("the connection failed: " + e.getClass().getSimpleName());
            }
            boolean wasBusy;
            synchronized (this) {
                wasBusy = busy;
            }
            tell();
            jobs.add(last);
            worker.join();
            alarm.join();
            if (wasBusy) {
                tell();
            }
            return why;
        }

        private void tell() {
            if (admitted && !closed.isDone()) {
                outOfSync(why);
            }
        }

        /** Ends the connection, once; no callback begins after it. */
        void end(String reason) {
            List<BiConsumer<Object, Exception>> waiting;
            synchronized (this) {
                if (over) {
                    return;
                }
                over = true;
                why = reason;
                waiting = new ArrayList<>(calls.values());
                calls.clear();
            }
            pipe.close();
            alarm.interrupt();
            waiting.forEach(w -> w.accept(null, new IOException(reason)));
        }

        private synchronized boolean isOver() {
            return over;
        }

        /** Ends the connection after silence. Only a whole line counts as a sign of life. */
        private void watch() {
            while (!isOver()) {
                double patience = admitted ? silenceSeconds : Math.min(HELLO_WITHIN_SECONDS, silenceSeconds);
                long left = heard + (long) (Math.min(patience, SILENCE_SECONDS) * 1e9) - System.nanoTime();
                if (left <= 0) {
                    end("no line came from the agent for " + patience + " s");
                    return;
                }
                try {
                    TimeUnit.NANOSECONDS.sleep(left);
                } catch (InterruptedException e) {
                    // the connection has ended
                }
            }
        }

        private void hello() throws IOException {
            Map<String, Object> hello = new LinkedHashMap<>();
            hello.put("protocol", PROTOCOL);
            hello.put("name", name);
            if (version != null) {
                hello.put("version", version);
            }
            if (events != null) {
                hello.put("events", events);
            }
            hello.put("answers", answers);
            hello.put("shows", shows);
            String key = key();
            saidKey = key != null;
            if (saidKey) {
                hello.put("key", key);
            }
            request("hello", hello, this::helloAnswered);
        }

        private void helloAnswered(Object result, Exception error) {
            if (error == null && !Long.valueOf(PROTOCOL).equals(map(result).get("protocol"))) {
                error = new Refused(VERSION, "the agent and this app speak different versions: update the older of the two", Map.of());
            }
            if (error != null) {
                refused = error instanceof Refused r ? r : null;
                end(error.getMessage());
                return;
            }
            admitted = true;
            enqueue(() -> {
                admitted(map(result));
                return null;
            }, answer -> {});
        }

        private void read() throws IOException {
            ByteBuffer part = ByteBuffer.allocate(1 << 16);
            byte[] line = new byte[1 << 12];
            int n = 0;
            while (pipe.read(part.clear()) >= 0) {
                for (part.flip(); part.hasRemaining(); ) {
                    byte b = part.get();
                    if (b == '\n') {
                        take(line, n);
                        n = 0;
                        line = line.length > 1 << 20 ? new byte[1 << 12] : line; // one large event must not be paid for ever
                        continue;
                    }
                    if (n == MAX_LINE + 1) {
                        end("a line is longer than 6 MiB");
                        return;
                    }
                    if (n == line.length) {
                        line = Arrays.copyOf(line, Math.min(2 * n, MAX_LINE + 1));
                    }
                    line[n++] = b;
                }
            }
            // What is left is half a message and never believed.
        }

        private void take(byte[] line, int n) throws IOException {
            String text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(line, 0, n)).toString();
            if (text.isBlank()) {
                return;
            }
            heard = System.nanoTime();
            Map<String, Object> message = map(parse(text));
            Object id = message.get("id"), method = message.get("method");
            if (method == null) {
                settle(id, message);
                return;
            }
            Map<String, Object> params = object(message, "params");
            AtomicBoolean once = new AtomicBoolean();
            Consumer<Map<String, Object>> answer = body -> {
                if (id != null && once.compareAndSet(false, true)) {
                    reply(id, body);
                }
            };
            Consumer<Answer> status = a -> answer.accept(Map.of("result", a.json()));
            switch (method.toString()) {
                case "event" -> {
                    Event e = new Event(params, status);
                    enqueue(() -> orNull(event(e)), answer);
                }
                case "clear" -> enqueue(() -> orNull(clear(string(params, "reason"))), answer);
                case "shown" -> {
                    if (shows) {
                        enqueue(() -> Map.of("windows", shown()), answer);
                    } else {
                        answer.accept(unknownMethod());
                    }
                }
                case "status" -> enqueue(() -> {
                    status(params);
                    return Map.of();
                }, answer);
                default -> answer.accept(unknownMethod());
            }
        }

        private Object orNull(Answer a) {
            return a == null ? null : a.json();
        }

        private Map<String, Object> unknownMethod() {
            return Map.of("error", Map.of("code", -32601, "message", "this app knows no such method"));
        }

        private void settle(Object id, Map<String, Object> message) {
            BiConsumer<Object, Exception> waiting;
            synchronized (this) {
                waiting = calls.remove(id);
            }
            if (waiting == null) {
                return;
            }
            if (message.get("error") == null) {
                waiting.accept(message.get("result"), null);
                return;
            }
            Map<String, Object> error = object(message, "error");
            int code = error.get("code") instanceof Number c ? c.intValue() : -32603;
            waiting.accept(null, new Refused(code, string(error, "message"), object(error, "data")));
        }

        private void enqueue(Callback callback, Consumer<Map<String, Object>> answer) {
            if (jobs.size() >= MAX_WAITING) {
                end("the app does not keep up: 256 messages wait");
                return;
            }
            jobs.add(new Job(callback, answer));
        }

        private void work() {
            while (true) {
                Job job;
                try {
                    job = jobs.take();
                } catch (InterruptedException e) {
                    return;
                }
                synchronized (this) {
                    if (over || job == last) {
                        return;
                    }
                    busy = true;
                }
                try {
                    Object result = job.callback.call();
                    if (result != null) {
                        job.answer.accept(Map.of("result", result));
                    }
                } catch (Exception e) { // the app's mistake: the agent must hear that it does not follow, the app goes on
                    job.answer.accept(Map.of("result", new Answer(500, "the app's callback failed").json()));
                    failed(e);
                }
                synchronized (this) {
                    busy = false;
                }
            }
        }

        void request(String method, Map<String, Object> params, BiConsumer<Object, Exception> done) throws IOException {
            long id;
            synchronized (this) {
                if (over) {
                    throw new IOException(why);
                }
                id = ++lastId;
                calls.put(id, done);
            }
            Map<String, Object> message = new LinkedHashMap<>();
            message.put("jsonrpc", "2.0");
            message.put("id", id);
            message.put("method", method);
            message.put("params", params);
            byte[] line = encode(message);
            if (line.length > MAX_LINE) {
                synchronized (this) {
                    calls.remove(id);
                }
                throw new IOException("the message is longer than the 6 MiB of a line");
            }
            write(line);
        }

        private void reply(Object id, Map<String, Object> body) {
            Map<String, Object> message = new LinkedHashMap<>();
            message.put("jsonrpc", "2.0");
            message.put("id", id);
            message.putAll(body);
            write(encode(message));
        }

        private byte[] encode(Map<String, Object> message) {
            StringBuilder text = new StringBuilder();
            print(message, text);
            return text.append('\n').toString().getBytes(StandardCharsets.UTF_8);
        }

        /** What cannot be written ends the connection, which settles all that wait. */
        private void write(byte[] line) {
            try {
                synchronized (pipe) {
                    pipe.write(ByteBuffer.wrap(line));
                }
            } catch (IOException e) {
                end("the connection failed while writing");
            }
        }
    }

    // ---- where the agent is ----

    /** Where the agent of this user listens: $CASTRAY_SOCKET, or what the system's conventions say. */
    public static String defaultAddress() throws IOException {
        String said = System.getenv("CASTRAY_SOCKET");
        if (said != null && !said.isEmpty()) {
            return said;
        }
        String os = System.getProperty("os.name");
        if (os.startsWith("Windows")) {
            return "\\\\.\\pipe\\castray-" + new com.sun.security.auth.module.NTSystem().getUserSID() + "-" + windowsSession();
        }
        if (os.startsWith("Mac")) {
            return System.getProperty("user.home") + "/Library/Application Support/Castray/castray.sock";
        }
        String run = System.getenv("XDG_RUNTIME_DIR");
        if (run != null && run.startsWith("/")) {
            return run + "/castray/castray.sock";
        }
        return "/tmp/castray-" + Files.getAttribute(Path.of("/proc/self"), "unix:uid") + "/castray.sock";
    }

    /** Only a program tells the logon session: tasklist, whose fourth column it is in every language. */
    private static String windowsSession() throws IOException {
        String pid = Long.toString(ProcessHandle.current().pid());
        Process p = new ProcessBuilder("tasklist", "/FI", "PID eq " + pid, "/FO", "CSV", "/NH").start();
        String[] columns = new String(p.getInputStream().readAllBytes(), StandardCharsets.ISO_8859_1).trim().split("\",\"");
        if (columns.length < 4) {
            throw new IOException("the logon session cannot be told: set CASTRAY_SOCKET");
        }
        return columns[3];
    }

    private interface Pipe {
        /** -1 when the connection has ended; close ends a read that waits. */
        int read(ByteBuffer to) throws IOException;

        void write(ByteBuffer from) throws IOException;

        void close();

        static Pipe open(String address) throws IOException {
            return System.getProperty("os.name").startsWith("Windows") ? new NamedPipe(address) : new UnixSocket(address);
        }
    }

    private static final class UnixSocket implements Pipe {
        private final SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);

        UnixSocket(String path) throws IOException {
            try {
                channel.connect(UnixDomainSocketAddress.of(path));
                UserPrincipal them = channel.getOption(jdk.net.ExtendedSocketOptions.SO_PEERCRED).user();
                if (!them.getName().equals(us().getName())) {
                    throw new IOException("the socket belongs to another user");
                }
            } catch (IOException | RuntimeException e) {
                close();
                if (!Files.exists(Path.of(path))) {
                    throw new NoSuchFileException(path);
                }
                throw e;
            }
        }

        /** The owner of a file that we have just made; Java tells no uid. */
        private static UserPrincipal us() throws IOException {
            Path ours = Files.createTempFile("castray", null);
            try {
                return Files.getOwner(ours);
            } finally {
                Files.delete(ours);
            }
        }

        @Override
        public int read(ByteBuffer to) throws IOException {
            return channel.read(to);
        }

        @Override
        public void write(ByteBuffer from) throws IOException {
            while (from.hasRemaining()) {
                channel.write(from);
            }
        }

        @Override
        public void close() {
            try {
                channel.close();
            } catch (IOException e) {
                // it is gone either way
            }
        }
    }

    /** By overlapped reads and writes: of a RandomAccessFile or FileChannel, a write would wait for the read to end. */
    private static final class NamedPipe implements Pipe {
        private final AsynchronousFileChannel channel;

        NamedPipe(String name) throws IOException {
            channel = AsynchronousFileChannel.open(Path.of(name), StandardOpenOption.READ, StandardOpenOption.WRITE);
        }

        @Override
        public int read(ByteBuffer to) throws IOException {
            return done(channel.read(to, 0));
        }

        @Override
        public void write(ByteBuffer from) throws IOException {
            while (from.hasRemaining()) {
                done(channel.write(from, 0));
            }
        }

        private static int done(java.util.concurrent.Future<Integer> f) throws IOException {
            try {
                return f.get();
            } catch (InterruptedException | ExecutionException e) {
                throw new IOException("the pipe has ended");
            }
        }

        @Override
        public void close() {
            try {
                channel.close();
            } catch (IOException e) {
                // it is gone either way
            }
        }
    }

    // ---- JSON ----

    /** The value as an object; empty when it is none. */
    @SuppressWarnings("unchecked")
    public static Map<String, Object> map(Object value) {
        return value instanceof Map<?, ?> m ? (Map<String, Object>) m : Map.of();
    }

    private static Map<String, Object> object(Map<String, Object> of, String member) {
        return map(of.get(member));
    }

    private static String string(Map<String, Object> of, String member) {
        return of.get(member) instanceof String s ? s : "";
    }

    /** The resource in an event's context with that key; null when there is none. */
    public static Map<String, Object> resource(Map<String, Object> event, String key) {
        if (event.get("context") instanceof List<?> entries) {
            for (Object entry : entries) {
                if (key.equals(map(entry).get("key"))) {
                    return object(map(entry), "resource");
                }
            }
        }
        return null;
    }

    /** Reads one JSON value. IllegalArgumentException when it is none; its text shows nothing of it. */
    public static Object parse(String text) {
        Reader r = new Reader(text);
        Object v = r.value(0);
        r.blanks();
        if (r.at != text.length()) {
            throw r.bad();
        }
        return v;
    }

    private static final class Reader {
        private static final int MAX_DEPTH = 1000;
        private static final java.util.regex.Pattern NUMBER =
                java.util.regex.Pattern.compile("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?");
        private final String s;
        private int at;

        Reader(String s) {
            this.s = s;
        }

        IllegalArgumentException bad() {
            return new IllegalArgumentException("not valid JSON at " + at);
        }

        void blanks() {
            while (at < s.length() && " \t\r\n".indexOf(s.charAt(at)) >= 0) {
                at++;
            }
        }

        /** Whether that character comes next, which is then read. */
        boolean next(char c) {
            blanks();
            boolean there = at < s.length() && s.charAt(at) == c;
            at += there ? 1 : 0;
            return there;
        }

        void must(char c) {
            if (!next(c)) {
                throw bad();
            }
        }

        Object value(int depth) {
            blanks();
            if (at == s.length() || depth > MAX_DEPTH) {
                throw bad();
            }
            switch (s.charAt(at)) {
                case '{':
                    return object(depth);
                case '[':
                    return array(depth);
                case '"':
                    return string();
                case 't':
                    return word("true", true);
                case 'f':
                    return word("false", false);
                case 'n':
                    return word("null", null);
                default:
                    return number();
            }
        }

        private Map<String, Object> object(int depth) {
            Map<String, Object> m = new LinkedHashMap<>();
            must('{');
            if (next('}')) {
                return m;
            }
            do {
                blanks();
                String name = string();
                must(':');
                m.put(name, value(depth + 1));
            } while (next(','));
            must('}');
            return m;
        }

        private List<Object> array(int depth) {
            List<Object> l = new ArrayList<>();
            must('[');
            if (next(']')) {
                return l;
            }
            do {
                l.add(value(depth + 1));
            } while (next(','));
            must(']');
            return l;
        }

        private Object word(String word, Object value) {
            if (!s.startsWith(word, at)) {
                throw bad();
            }
            at += word.length();
            return value;
        }

        private Object number() {
            var m = NUMBER.matcher(s).region(at, s.length());
            if (!m.lookingAt()) {
                throw bad();
            }
            at = m.end();
            if (m.group(2) == null && m.group(3) == null && m.group().length() < 19) {
                return Long.valueOf(m.group());
            }
            return Double.valueOf(m.group());
        }

        private String string() {
            must('"');
            StringBuilder b = new StringBuilder();
            while (true) {
                int from = at;
                while (at < s.length() && s.charAt(at) != '"' && s.charAt(at) != '\\' && s.charAt(at) >= ' ') {
                    at++;
                }
                b.append(s, from, at);
                if (at == s.length() || s.charAt(at) < ' ') {
                    throw bad();
                }
                if (s.charAt(at++) == '"') {
                    return b.toString();
                }
                b.append(escaped());
            }
        }

        private char escaped() {
            int meant = at < s.length() ? "\"\\/bfnrtu".indexOf(s.charAt(at++)) : -1;
            if (meant < 0) {
                throw bad();
            }
            if (meant < 8) {
                return "\"\\/\b\f\n\r\t".charAt(meant);
            }
            if (at + 4 > s.length() || !s.substring(at, at + 4).matches("[0-9a-fA-F]{4}")) {
                throw bad();
            }
            at += 4;
            return (char) Integer.parseInt(s, at - 4, at, 16);
        }
    }

    private static void print(Object v, StringBuilder to) {
        if (v instanceof Map<?, ?> m) {
            String between = "{";
            for (var e : m.entrySet()) {
                to.append(between);
                quote(e.getKey().toString(), to);
                to.append(':');
                print(e.getValue(), to);
                between = ",";
            }
            to.append(m.isEmpty() ? "{}" : "}");
        } else if (v instanceof Iterable<?> list) {
            String between = "";
            to.append('[');
            for (Object e : list) {
                to.append(between);
                print(e, to);
                between = ",";
            }
            to.append(']');
        } else if (v == null || v instanceof Number || v instanceof Boolean) {
            to.append(v);
        } else {
            quote(v.toString(), to);
        }
    }

    private static void quote(String s, StringBuilder to) {
        to.append('"');
        for (char c : s.toCharArray()) {
            if (c == '"' || c == '\\') {
                to.append('\\').append(c);
            } else if (c < ' ' || Character.isSurrogate(c)) { // half a pair would be no UTF-8
                to.append(String.format("\\u%04x", (int) c));
            } else {
                to.append(c);
            }
        }
        to.append('"');
    }
}
