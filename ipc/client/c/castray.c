/* See castray.h. The parts: JSON, text to write, the pipe (POSIX, Win32), messages, the connection. */
#if !defined(_WIN32)
#define _GNU_SOURCE        /* struct ucred */
#define _DARWIN_C_SOURCE   /* getpeereid */
#else
#define _WIN32_WINNT 0x0600
#define WIN32_LEAN_AND_MEAN
#define _CRT_SECURE_NO_WARNINGS
#ifdef _MSC_VER
#pragma comment(lib, "advapi32")
#endif
#endif

#include "castray.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 10000 /* as the agent's */

/* ---- JSON ---- */

static const castray_json absent = {NULL, NULL};

static const char *blanks(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

static int hex(const char *p, const char *end, unsigned *to) {
    unsigned v = 0;
    int i;
    if (end - p < 4)
        return 0;
    for (i = 0; i < 4; i++) {
        char d = p[i];
        if (d >= '0' && d <= '9')
            v = v * 16 + (unsigned)(d - '0');
        else if (d >= 'a' && d <= 'f')
            v = v * 16 + (unsigned)(d - 'a') + 10;
        else if (d >= 'A' && d <= 'F')
            v = v * 16 + (unsigned)(d - 'A') + 10;
        else
            return 0;
    }
    *to = v;
    return 1;
}

/* Each after_ gives what follows the value that begins at p, or NULL. */
static const char *after_string(const char *p, const char *end) {
    unsigned ignored;
    if (p == end || *p++ != '"')
        return NULL;
    for (; p < end; p++) {
        if (*p == '"')
            return p + 1;
        if ((unsigned char)*p < 0x20)
            return NULL;
        if (*p != '\\')
            continue;
        if (++p == end || !strchr("\"\\/bfnrtu", *p) || *p == 0)
            return NULL;
        if (*p == 'u') {
            if (!hex(p + 1, end, &ignored))
                return NULL;
            p += 4;
        }
    }
    return NULL;
}

static const char *after_digits(const char *p, const char *end) {
    const char *from = p;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p == from ? NULL : p;
}

static const char *after_number(const char *p, const char *end) {
    if (p < end && *p == '-')
        p++;
    if (p < end && *p == '0')
        p++;
    else if (!(p = after_digits(p, end)))
        return NULL;
    if (p < end && *p == '.' && !(p = after_digits(p + 1, end)))
        return NULL;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        p = after_digits(p, end);
    }
    return p;
}

static const char *after_word(const char *p, const char *end, const char *word) {
    size_t n = strlen(word);
    return (size_t)(end - p) >= n && memcmp(p, word, n) == 0 ? p + n : NULL;
}

static const char *after_scalar(const char *p, const char *end) {
    switch (*p) {
    case '"': return after_string(p, end);
    case 't': return after_word(p, end, "true");
    case 'f': return after_word(p, end, "false");
    case 'n': return after_word(p, end, "null");
    }
    return after_number(p, end);
}

static const char *after_name(const char *p, const char *end) {
    p = after_string(blanks(p, end), end);
    if (!p)
        return NULL;
    p = blanks(p, end);
    return p < end && *p == ':' ? p + 1 : NULL;
}

/* Without recursion: what is nested deeply must not cost the app its stack. */
static const char *after_value(const char *p, const char *end) {
    unsigned char objects[MAX_DEPTH / 8 + 1]; /* a bit for each open bracket */
    int depth = 0;
    for (;;) {
        int opened = 0;
        p = blanks(p, end);
        if (p == end)
            return NULL;
        if (*p == '{' || *p == '[') {
            unsigned char bit = (unsigned char)(1 << depth % 8);
            int object = *p == '{';
            if (depth == MAX_DEPTH)
                return NULL;
            objects[depth / 8] = (unsigned char)(object ? objects[depth / 8] | bit : objects[depth / 8] & ~bit);
            depth++;
            p = blanks(p + 1, end);
            opened = p == end || *p != (object ? '}' : ']');
            if (opened && object && !(p = after_name(p, end)))
                return NULL;
        } else if (!(p = after_scalar(p, end))) {
            return NULL;
        }
        while (!opened) { /* after a value, or before the bracket that closes an empty one */
            int object;
            if (depth == 0)
                return p;
            object = objects[(depth - 1) / 8] >> (depth - 1) % 8 & 1;
            p = blanks(p, end);
            if (p == end)
                return NULL;
            if (*p == ',') {
                if (p++, object && !(p = after_name(p, end)))
                    return NULL;
                break;
            }
            if (*p++ != (object ? '}' : ']'))
                return NULL;
            depth--;
        }
    }
}

castray_json castray_parse(const char *text, size_t n) {
    castray_json v;
    const char *end = text + n, *after;
    v.begin = blanks(text, end);
    after = after_value(v.begin, end);
    if (!after || blanks(after, end) != end)
        return absent;
    v.end = after;
    return v;
}

castray_json castray_member(castray_json object, const char *name) {
    const char *p;
    if (!object.begin || *object.begin != '{')
        return absent;
    for (p = blanks(object.begin + 1, object.end); *p == '"';) {
        castray_json key, value;
        key.begin = p;
        key.end = after_string(p, object.end);
        value.begin = blanks(after_name(p, object.end), object.end);
        value.end = after_value(value.begin, object.end);
        if (castray_same(key, name))
            return value;
        p = blanks(value.end, object.end);
        if (*p == ',')
            p = blanks(p + 1, object.end);
    }
    return absent;
}

castray_json castray_element(castray_json array, size_t index) {
    const char *p;
    if (!array.begin || *array.begin != '[')
        return absent;
    for (p = blanks(array.begin + 1, array.end); *p != ']'; index--) {
        castray_json value;
        value.begin = p;
        value.end = after_value(p, array.end);
        if (index == 0)
            return value;
        p = blanks(value.end, array.end);
        if (*p == ',')
            p = blanks(p + 1, array.end);
    }
    return absent;
}

/* utf8 writes one character and returns its length. */
static size_t utf8(unsigned r, char *to) {
    if (r < 0x80) {
        to[0] = (char)r;
        return 1;
    }
    if (r < 0x800) {
        to[0] = (char)(0xc0 | r >> 6);
        to[1] = (char)(0x80 | (r & 0x3f));
        return 2;
    }
    if (r < 0x10000) {
        to[0] = (char)(0xe0 | r >> 12);
        to[1] = (char)(0x80 | (r >> 6 & 0x3f));
        to[2] = (char)(0x80 | (r & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | r >> 18);
    to[1] = (char)(0x80 | (r >> 12 & 0x3f));
    to[2] = (char)(0x80 | (r >> 6 & 0x3f));
    to[3] = (char)(0x80 | (r & 0x3f));
    return 4;
}

/* escaped reads what follows a backslash, and the second half of a surrogate pair. */
static unsigned escaped(const char **p, const char *end) {
    static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
    const char *at = strchr(letters, **p);
    unsigned r = (unsigned char)**p, low;
    if (**p != 'u') {
        ++*p;
        return at ? (unsigned char)meant[at - letters] : r;
    }
    hex(*p + 1, end, &r);
    *p += 5;
    if (r < 0xd800 || r > 0xdfff)
        return r;
    if (r < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u' && hex(*p + 2, end, &low) && low >= 0xdc00 && low <= 0xdfff) {
        *p += 6;
        return 0x10000 + ((r - 0xd800) << 10) + (low - 0xdc00);
    }
    return 0xfffd;
}

size_t castray_text(castray_json string, char *to, size_t size) {
    size_t n = 0, kept = 0;
    const char *p, *end;
    if (size > 0)
        to[0] = 0;
    if (!string.begin || *string.begin != '"')
        return 0;
    for (p = string.begin + 1, end = string.end - 1; p < end;) {
        char piece[4];
        size_t length = 1;
        if (*p == '\\') {
            p++;
            length = utf8(escaped(&p, end), piece);
        } else {
            piece[0] = *p++;
        }
        if (kept == n && n + length < size) { /* never half of an escaped character */
            memcpy(to + n, piece, length);
            kept += length;
        }
        n += length;
    }
    if (size > 0)
        to[kept] = 0;
    return n;
}

int castray_same(castray_json string, const char *text) {
    char buffer[128];
    size_t n = strlen(text);
    return n < sizeof buffer && string.begin && *string.begin == '"' &&
           castray_text(string, buffer, sizeof buffer) == n && memcmp(buffer, text, n) == 0;
}

long castray_number(castray_json number, long otherwise) {
    char buffer[32], *end;
    long v;
    size_t n = number.begin ? (size_t)(number.end - number.begin) : 0;
    if (n == 0 || n >= sizeof buffer)
        return otherwise;
    memcpy(buffer, number.begin, n);
    buffer[n] = 0;
    v = strtol(buffer, &end, 10);
    return *end == 0 && v != LONG_MAX && v != LONG_MIN ? v : otherwise;
}

int castray_true(castray_json value) { return value.begin && *value.begin == 't'; }

castray_json castray_resource(const castray_event *e, const char *key) {
    castray_json context = castray_member(e->event, "context"), entry;
    size_t i;
    for (i = 0; (entry = castray_element(context, i)).begin; i++)
        if (castray_same(castray_member(entry, "key"), key))
            return castray_member(entry, "resource");
    return absent;
}

size_t castray_quote(const char *text, char *to, size_t size) {
    size_t n = 0;
    const unsigned char *p = (const unsigned char *)text;
    char piece[8];
#define PUT(c) do { if (n + 1 < size) to[n] = (char)(c); n++; } while (0)
    PUT('"');
    for (; *p; p++) {
        if (*p == '"' || *p == '\\') {
            PUT('\\');
            PUT(*p);
        } else if (*p < 0x20) {
            int i;
            snprintf(piece, sizeof piece, "\\u%04x", *p);
            for (i = 0; i < 6; i++)
                PUT(piece[i]);
        } else {
            PUT(*p);
        }
    }
    PUT('"');
#undef PUT
    if (size > 0)
        to[n < size ? n : size - 1] = 0;
    return n;
}

/* ---- text to write ---- */

typedef struct { char *p; size_t n, size; int failed; } text;

static void add_bytes(text *t, const char *s, size_t n) {
    if (t->failed || n > CASTRAY_MAX_LINE - t->n) {
        t->failed = 1;
        return;
    }
    if (t->n + n > t->size) {
        size_t size = (t->n + n) * 2;
        char *p = realloc(t->p, size);
        if (!p) {
            t->failed = 1;
            return;
        }
        t->p = p;
        t->size = size;
    }
    memcpy(t->p + t->n, s, n);
    t->n += n;
}

static void add(text *t, const char *s) { add_bytes(t, s, strlen(s)); }

static void add_quoted(text *t, const char *s) {
    size_t n = castray_quote(s, NULL, 0);
    char *q = malloc(n + 1);
    if (!q) {
        t->failed = 1;
        return;
    }
    castray_quote(s, q, n + 1);
    add_bytes(t, q, n);
    free(q);
}

static void add_number(text *t, unsigned long n) {
    char digits[24];
    snprintf(digits, sizeof digits, "%lu", n);
    add(t, digits);
}

/* add_member begins a member, with a comma if it is not the first. */
static void add_member(text *t, const char *name) {
    if (t->n > 0 && t->p[t->n - 1] != '{')
        add(t, ",");
    add(t, "\"");
    add(t, name);
    add(t, "\":");
}

/* add_json adds what a caller wrote, if it is JSON, on one line. */
static void add_json(text *t, const char *json) {
    size_t at = t->n, n = strlen(json);
    if (!castray_parse(json, n).begin)
        t->failed = 1;
    add_bytes(t, json, n);
    for (; !t->failed && at < t->n; at++)
        if (t->p[at] == '\n' || t->p[at] == '\r')
            t->p[at] = ' '; /* between tokens: within a string they would be no JSON */
}

static void add_events(text *t, const char *const *events) {
    size_t i;
    if (!events)
        return;
    add_member(t, "events");
    add(t, "[");
    for (i = 0; events[i]; i++) {
        add(t, i ? "," : "");
        add_quoted(t, events[i]);
    }
    add(t, "]");
}

/* ---- the pipe ---- */

typedef struct call {
    struct call *next;
    unsigned long id;
    castray_reply *reply;
    void *arg;
} call;

struct castray {
    castray_options o;
    const char *const *events;
    char address[512];
#ifdef _WIN32
    void *pipe, *read_event, *write_event; /* HANDLE */
    void *reading;                         /* OVERLAPPED, not NULL while a read is on its way */
#else
    int fd;
#endif
    char in[1 << 16];
    int open, admitted, told, said_key, refused;
    const char *broken; /* why the connection is of no more use */
    unsigned long connection, last_id;
    call *calls;
    char *line; /* what has been read and is no whole line yet */
    size_t line_n, line_size, searched;
    long long heard, began, next_try;
    int tries;
    unsigned long random;
};

enum { WRITE_WITHIN_MS = 10000, HELLO_WITHIN_MS = 10000, FIRST_PAUSE_MS = 250, LONGEST_PAUSE_MS = 15000 };

#ifndef _WIN32
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

static long long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void pause_ms(int ms) { poll(NULL, 0, ms); }

static unsigned long process_id(void) { return (unsigned long)getpid(); }

static int conventional_address(char *to, size_t size) {
    int n;
#ifdef __APPLE__
    const char *home = getenv("HOME");
    n = snprintf(to, size, "%s/Library/Application Support/Castray/castray.sock", home ? home : "");
#else
    const char *run = getenv("XDG_RUNTIME_DIR");
    if (run && run[0] == '/')
        n = snprintf(to, size, "%s/castray/castray.sock", run);
    else
        n = snprintf(to, size, "/tmp/castray-%lu/castray.sock", (unsigned long)getuid());
#endif
    return n > 0 && (size_t)n < size;
}

static int is_ours(int fd) {
#ifdef __linux__
    struct ucred peer;
    socklen_t n = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && peer.uid == getuid();
#else
    uid_t uid;
    gid_t gid;
    return getpeereid(fd, &uid, &gid) == 0 && uid == getuid();
#endif
}

static void pipe_close(castray *c) {
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

/* pipe_open gives NULL, or why there is no connection. */
static const char *pipe_open(castray *c) {
    struct sockaddr_un to;
    memset(&to, 0, sizeof to);
    to.sun_family = AF_UNIX;
    if (strlen(c->address) >= sizeof to.sun_path)
        return "the path of the socket is too long";
    strcpy(to.sun_path, c->address);
    c->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (c->fd < 0)
        return "no socket can be made";
    fcntl(c->fd, F_SETFD, FD_CLOEXEC);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
#ifdef SO_NOSIGPIPE
    {
        int on = 1;
        setsockopt(c->fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
    }
#endif
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0) {
        int nobody = errno == ENOENT || errno == ECONNREFUSED;
        pipe_close(c);
        return nobody ? "no agent is running" : "the agent cannot be reached";
    }
    if (!is_ours(c->fd)) {
        pipe_close(c);
        return "the socket belongs to another user";
    }
    return NULL;
}

/* pipe_read reads into in: the number of bytes, 0 when none came in that time, -1 when the connection has ended. */
static long pipe_read(castray *c, int wait) {
    struct pollfd p;
    ssize_t n;
    p.fd = c->fd;
    p.events = POLLIN;
    p.revents = 0;
    if (poll(&p, 1, wait) <= 0)
        return 0;
    n = recv(c->fd, c->in, sizeof c->in, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return n > 0 ? (long)n : -1;
}

static int pipe_write(castray *c, const char *p, size_t n) {
    long long end = now_ms() + WRITE_WITHIN_MS;
    while (n > 0) {
        ssize_t wrote = send(c->fd, p, n, MSG_NOSIGNAL);
        if (wrote > 0) {
            p += wrote;
            n -= (size_t)wrote;
        } else if (errno == EAGAIN && now_ms() < end) {
            struct pollfd w;
            w.fd = c->fd;
            w.events = POLLOUT;
            w.revents = 0;
            poll(&w, 1, (int)(end - now_ms()));
        } else if (errno != EINTR) {
            return 0;
        }
    }
    return 1;
}

#else
#include <windows.h>
#include <sddl.h>

static long long now_ms(void) { return (long long)GetTickCount64(); }

static void pause_ms(int ms) { Sleep((DWORD)ms); }

static unsigned long process_id(void) { return GetCurrentProcessId(); }

/* sid_of is the user of a process, as text. */
static int sid_of(DWORD pid, char *to, size_t size) {
    HANDLE process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, pid), token = NULL;
    union { TOKEN_USER user; char room[256]; } u;
    DWORD n;
    char *sid = NULL;
    int ok = process && OpenProcessToken(process, TOKEN_QUERY, &token) &&
             GetTokenInformation(token, TokenUser, &u, sizeof u, &n) && ConvertSidToStringSidA(u.user.User.Sid, &sid) &&
             strlen(sid) < size;
    if (ok)
        strcpy(to, sid);
    if (sid)
        LocalFree(sid);
    if (token)
        CloseHandle(token);
    if (process)
        CloseHandle(process);
    return ok;
}

static int conventional_address(char *to, size_t size) {
    char sid[200];
    DWORD session;
    int n;
    if (!sid_of(GetCurrentProcessId(), sid, sizeof sid) || !ProcessIdToSessionId(GetCurrentProcessId(), &session))
        return 0;
    n = snprintf(to, size, "\\\\.\\pipe\\castray-%s-%lu", sid, (unsigned long)session);
    return n > 0 && (size_t)n < size;
}

static int is_ours(HANDLE pipe) {
    char us[200], them[200];
    ULONG pid;
    return GetNamedPipeServerProcessId(pipe, &pid) && sid_of(pid, them, sizeof them) &&
           sid_of(GetCurrentProcessId(), us, sizeof us) && strcmp(us, them) == 0;
}

static void pipe_close(castray *c) {
    if (c->reading) { /* the system writes into in until it is cancelled */
        DWORD n;
        CancelIoEx(c->pipe, c->reading);
        GetOverlappedResult(c->pipe, c->reading, &n, TRUE);
        free(c->reading);
        c->reading = NULL;
    }
    if (c->pipe)
        CloseHandle(c->pipe);
    if (c->read_event)
        CloseHandle(c->read_event);
    if (c->write_event)
        CloseHandle(c->write_event);
    c->pipe = c->read_event = c->write_event = NULL;
}

/* pipe_open connects so that the server may learn who we are, but cannot act in our name. */
static const char *pipe_open(castray *c) {
    c->pipe = CreateFileA(c->address, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                          FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
    if (c->pipe == INVALID_HANDLE_VALUE) {
        DWORD why = GetLastError();
        c->pipe = NULL;
        return why == ERROR_FILE_NOT_FOUND ? "no agent is running" : "the agent cannot be reached";
    }
    c->read_event = CreateEventA(NULL, TRUE, FALSE, NULL);
    c->write_event = CreateEventA(NULL, TRUE, FALSE, NULL);
    if (!c->read_event || !c->write_event) {
        pipe_close(c);
        return "no event can be made";
    }
    if (!is_ours(c->pipe)) {
        pipe_close(c);
        return "the pipe belongs to another user";
    }
    return NULL;
}

static long pipe_read(castray *c, int wait) {
    OVERLAPPED *o = c->reading;
    DWORD n;
    BOOL done;
    if (!o) {
        if (!(o = calloc(1, sizeof *o)))
            return -1;
        o->hEvent = c->read_event;
        ResetEvent(c->read_event);
        if (!ReadFile(c->pipe, c->in, sizeof c->in, NULL, o) && GetLastError() != ERROR_IO_PENDING) {
            free(o);
            return -1;
        }
        c->reading = o;
    }
    if (WaitForSingleObject(c->read_event, (DWORD)wait) != WAIT_OBJECT_0)
        return 0;
    done = GetOverlappedResult(c->pipe, o, &n, TRUE);
    free(o);
    c->reading = NULL;
    return done && n > 0 ? (long)n : -1;
}

static int pipe_write(castray *c, const char *p, size_t n) {
    while (n > 0) {
        OVERLAPPED o;
        DWORD wrote;
        memset(&o, 0, sizeof o);
        o.hEvent = c->write_event;
        ResetEvent(c->write_event);
        if (!WriteFile(c->pipe, p, (DWORD)n, NULL, &o) && GetLastError() != ERROR_IO_PENDING)
            return 0;
        if (WaitForSingleObject(c->write_event, WRITE_WITHIN_MS) != WAIT_OBJECT_0)
            CancelIoEx(c->pipe, &o);
        if (!GetOverlappedResult(c->pipe, &o, &wrote, TRUE) || wrote == 0)
            return 0;
        p += wrote;
        n -= wrote;
    }
    return 1;
}
#endif

/* ---- messages ---- */

/* write_line ends and writes a message, and frees it. 0 when it was not written. */
static int write_line(castray *c, text *t) {
    int wrote = 0;
    add(t, "}\n");
    if (!t->failed && c->open && !c->broken) {
        wrote = pipe_write(c, t->p, t->n);
        if (!wrote)
            c->broken = "the agent does not read, or hung up";
    }
    free(t->p);
    return wrote;
}

static int request(castray *c, const char *method, text *params, castray_reply *reply, void *arg) {
    text t = {0};
    call *w = malloc(sizeof *w);
    if (!w || params->failed || !c->open || c->broken) {
        free(w);
        free(params->p);
        return -1;
    }
    w->id = ++c->last_id;
    w->reply = reply;
    w->arg = arg;
    add(&t, "{\"jsonrpc\":\"2.0\",\"id\":");
    add_number(&t, w->id);
    add(&t, ",\"method\":");
    add_quoted(&t, method);
    add(&t, ",\"params\":");
    add_bytes(&t, params->p, params->n);
    free(params->p);
    if (!write_line(c, &t)) {
        free(w);
        return -1;
    }
    w->next = c->calls;
    c->calls = w;
    return 0;
}

int castray_call(castray *c, const char *method, const char *params, castray_reply *reply, void *arg) {
    text t = {0};
    if (!c->admitted)
        return -1;
    add_json(&t, params ? params : "{}");
    return request(c, method, &t, reply, arg);
}

int castray_context(castray *c, castray_reply *reply, void *arg) { return castray_call(c, "context", NULL, reply, arg); }

int castray_send(castray *c, const char *id, const char *event, const char *context, const char *version,
                 castray_reply *reply, void *arg) {
    text t = {0};
    if (!c->admitted)
        return -1;
    add(&t, "{");
    if (id) {
        add_member(&t, "id");
        add_quoted(&t, id);
    }
    add_member(&t, "event");
    add_quoted(&t, event);
    add_member(&t, "context");
    add_json(&t, context);
    if (version) {
        add_member(&t, "version");
        add_quoted(&t, version);
    }
    add(&t, "}");
    return request(c, "send", &t, reply, arg);
}

int castray_subscribe(castray *c, const char *const *events, castray_reply *reply, void *arg) {
    text t = {0};
    c->events = events;
    if (!c->admitted)
        return -1;
    add(&t, "{");
    add_events(&t, events);
    add(&t, "}");
    return request(c, "subscribe", &t, reply, arg);
}

/* answer begins the answer to a request of the agent; a notification has no id and none. */
static int answer(castray *c, const castray_ticket *to, const char *member, const char *body) {
    text t = {0};
    if (!to->id[0] || to->connection != c->connection)
        return -1;
    add(&t, "{\"jsonrpc\":\"2.0\",\"id\":");
    add(&t, to->id);
    add_member(&t, member);
    add_json(&t, body);
    return write_line(c, &t) ? 0 : -1;
}

int castray_answer(castray *c, const castray_ticket *to, int status, const char *reason) {
    text t = {0};
    int done;
    add(&t, "{\"status\":");
    add_number(&t, (unsigned long)status);
    if (reason) {
        add_member(&t, "reason");
        add_quoted(&t, reason);
    }
    add_bytes(&t, "}", 2); /* with its zero byte */
    done = t.failed ? -1 : answer(c, to, "result", t.p);
    free(t.p);
    return done;
}

static void take_event(castray *c, castray_json params, const castray_ticket *to) {
    castray_event e;
    castray_json mark = castray_member(params, "castray");
    int status = 202;
    memset(&e, 0, sizeof e);
    e.params = params;
    e.event = castray_member(params, "event");
    castray_text(castray_member(e.event, "hub.event"), e.name, sizeof e.name);
    e.replay = castray_true(castray_member(mark, "replay"));
    e.snapshot = castray_true(castray_member(mark, "snapshot"));
    e.derived = castray_true(castray_member(mark, "derived"));
    e.ticket = *to;
    if (c->o.event)
        status = c->o.event(c->o.arg, c, &e);
    if (status)
        castray_answer(c, to, status, NULL);
}

static void take_clear(castray *c, castray_json params, const castray_ticket *to) {
    char reason[32];
    int status = 202;
    castray_text(castray_member(params, "reason"), reason, sizeof reason);
    if (c->o.clear)
        status = c->o.clear(c->o.arg, c, reason);
    if (status)
        castray_answer(c, to, status, NULL);
}

static void take_shown(castray *c, const castray_ticket *to) {
    text t = {0};
    const char *windows = c->o.shown(c->o.arg, c);
    add(&t, "{\"windows\":");
    add_json(&t, windows ? windows : "[]");
    add_bytes(&t, "}", 2);
    if (t.failed)
        answer(c, to, "error", "{\"code\":-32603,\"message\":\"what the app said it shows is no JSON\"}");
    else
        answer(c, to, "result", t.p);
    free(t.p);
}

static void take_answer(castray *c, castray_json message, castray_json id) {
    unsigned long number = (unsigned long)castray_number(id, 0);
    castray_json error = castray_member(message, "error");
    call **at, *w;
    int code = (int)castray_number(castray_member(error, "code"), 0);
    for (at = &c->calls; *at && (*at)->id != number; at = &(*at)->next)
        ;
    w = *at;
    if (!w)
        return;
    *at = w->next;
    if (error.begin && *error.begin == '{' && code == 0)
        code = -32603; /* an error without a code is one all the same */
    if (w->reply)
        w->reply(w->arg, c, code, code ? error : castray_member(message, "result"));
    free(w);
}

static void take_line(castray *c, const char *line, size_t n) {
    castray_json message = castray_parse(line, n), id, method, params;
    castray_ticket to;
    if (!message.begin || *message.begin != '{') {
        c->broken = "the agent sent what is no message"; /* it may have been a change of patient */
        return;
    }
    id = castray_member(message, "id");
    method = castray_member(message, "method");
    params = castray_member(message, "params");
    if (!method.begin) {
        take_answer(c, message, id);
        return;
    }
    memset(&to, 0, sizeof to);
    to.connection = c->connection;
    if (id.begin && (size_t)(id.end - id.begin) < sizeof to.id)
        memcpy(to.id, id.begin, (size_t)(id.end - id.begin));
    if (castray_same(method, "event"))
        take_event(c, params, &to);
    else if (castray_same(method, "clear"))
        take_clear(c, params, &to);
    else if (castray_same(method, "shown") && c->o.shown)
        take_shown(c, &to);
    else if (!castray_same(method, "status"))
        answer(c, &to, "error", "{\"code\":-32601,\"message\":\"this app knows no such method\"}");
    else if (c->o.status)
        c->o.status(c->o.arg, c, params);
}

/* ---- the connection ---- */

/* settle tells all that wait that no answer will come. */
static void settle(castray *c) {
    call *w = c->calls;
    c->calls = NULL;
    while (w) {
        call *next = w->next;
        if (w->reply)
            w->reply(w->arg, c, CASTRAY_LOST, absent);
        free(w);
        w = next;
    }
}

/* lose ends the connection, or the attempt at one, and says so once per loss. */
static void lose(castray *c, const char *why) {
    int admitted = c->admitted, longest;
    pipe_close(c);
    c->open = c->admitted = 0;
    c->broken = NULL;
    c->connection++;
    c->line_n = c->searched = 0;
    if (admitted && now_ms() - c->began > LONGEST_PAUSE_MS)
        c->tries = 0;
    /* Half of the pause is random, so that the apps of a workstation do not return all at once. */
    longest = c->tries < 6 ? FIRST_PAUSE_MS << c->tries : LONGEST_PAUSE_MS;
    c->random = c->random * 1103515245u + 12345u;
    c->next_try = now_ms() + longest / 2 + (long long)((c->random >> 8) % (unsigned long)(longest / 2));
    c->tries += c->tries < 6;
    settle(c);
    if ((admitted || !c->told) && c->o.out_of_sync)
        c->o.out_of_sync(c->o.arg, c, why);
    c->told = 1;
}

static void hello_answered(void *arg, castray *c, int code, castray_json result) {
    (void)arg;
    if (code == 0 && castray_number(castray_member(result, "protocol"), 0) != CASTRAY_PROTOCOL)
        code = -32001;
    switch (code) {
    case CASTRAY_LOST:
        return;
    case 0:
        c->admitted = 1;
        if (c->o.admitted)
            c->o.admitted(c->o.arg, c, result);
        return;
    case -32001: case -32600: case -32601: case -32602:
        c->refused = code;
        break;
    case -32007: /* an agent that starts listens first and writes its new key then */
        c->refused = c->said_key ? 0 : code;
        break;
    }
    c->broken = "the agent refused the app";
}

static void connect_to_agent(castray *c) {
    text t = {0};
    const char *why = NULL, *key;
    const char *said = c->o.address ? c->o.address : getenv("CASTRAY_SOCKET");
    c->began = now_ms();
    if (said && said[0])
        why = strlen(said) < sizeof c->address ? (strcpy(c->address, said), NULL) : "the address is too long";
    else if (!conventional_address(c->address, sizeof c->address))
        why = "the address of the agent cannot be told";
    if (!why)
        why = pipe_open(c);
    if (why) {
        lose(c, why);
        return;
    }
    c->open = 1;
    c->heard = now_ms();
    key = c->o.key ? c->o.key(c->o.arg) : NULL;
    c->said_key = key != NULL;
    add(&t, "{\"protocol\":1");
    add_member(&t, "name");
    add_quoted(&t, c->o.name);
    if (c->o.version) {
        add_member(&t, "version");
        add_quoted(&t, c->o.version);
    }
    add_events(&t, c->events);
    add_member(&t, "answers");
    add(&t, c->o.listens_only ? "false" : "true");
    add_member(&t, "shows");
    add(&t, c->o.shown ? "true" : "false");
    if (key) {
        add_member(&t, "key");
        add_quoted(&t, key);
    }
    add(&t, "}");
    if (request(c, "hello", &t, hello_answered, NULL) != 0)
        lose(c, "the agent hung up");
}

/* keep adds what was read to the line; 0 when it grows too long. */
static int keep(castray *c, const char *p, size_t n) {
    if (n > CASTRAY_MAX_LINE + 2 + sizeof c->in - c->line_n)
        return 0;
    if (c->line_n + n > c->line_size) {
        size_t size = (c->line_n + n) * 2;
        char *grown = realloc(c->line, size);
        if (!grown)
            return 0;
        c->line = grown;
        c->line_size = size;
    }
    memcpy(c->line + c->line_n, p, n);
    c->line_n += n;
    return 1;
}

/* take_lines deals with the whole lines that there are. Half a line is never believed. */
static void take_lines(castray *c) {
    size_t from = 0;
    while (!c->broken) {
        char *end = memchr(c->line + c->searched, '\n', c->line_n - c->searched);
        size_t n;
        if (!end)
            break;
        n = (size_t)(end - c->line) - from;
        if (n > CASTRAY_MAX_LINE + 1)
            c->broken = "a line is longer than 6 MiB";
        else if (blanks(c->line + from, end) != end) {
            c->heard = now_ms(); /* only a whole line is a sign of life */
            take_line(c, c->line + from, n);
        }
        from = c->searched = (size_t)(end - c->line) + 1;
    }
    if (c->broken)
        return;
    memmove(c->line, c->line + from, c->line_n - from);
    c->line_n -= from;
    c->searched = c->line_n;
    if (c->line_n > CASTRAY_MAX_LINE + 1)
        c->broken = "a line is longer than 6 MiB";
    if (c->line_n == 0 && c->line_size > 1 << 20) { /* one large event must not be paid for ever */
        free(c->line);
        c->line = NULL;
        c->line_size = 0;
    }
}

int castray_step(castray *c, int wait_ms) {
    long long now = now_ms(), silence = c->o.silence_ms;
    long n;
    if (c->refused)
        return c->refused;
    if (!c->open && now >= c->next_try)
        connect_to_agent(c);
    now = now_ms();
    if (!c->open) {
        if (c->next_try - now < wait_ms)
            wait_ms = c->next_try > now ? (int)(c->next_try - now) : 0;
        pause_ms(wait_ms);
        return c->refused;
    }
    if (!c->admitted && silence > HELLO_WITHIN_MS)
        silence = HELLO_WITHIN_MS;
    if (wait_ms > c->heard + silence - now)
        wait_ms = c->heard + silence > now ? (int)(c->heard + silence - now) : 0;
    n = c->broken ? 0 : pipe_read(c, wait_ms);
    if (n < 0)
        c->broken = "the agent closed the connection";
    else if (n > 0 && !keep(c, c->in, (size_t)n))
        c->broken = "a line is longer than 6 MiB";
    else if (n > 0)
        take_lines(c);
    else if (!c->broken && now_ms() - c->heard >= silence)
        c->broken = "no line came from the agent";
    if (c->broken)
        lose(c, c->broken);
    return c->refused ? c->refused : c->admitted;
}

castray *castray_new(const castray_options *o) {
    castray *c = o->name && o->name[0] ? calloc(1, sizeof *c) : NULL;
    if (!c)
        return NULL;
    c->o = *o;
    c->events = o->events;
    if (c->o.silence_ms == 0 || c->o.silence_ms > CASTRAY_SILENCE_MS)
        c->o.silence_ms = CASTRAY_SILENCE_MS;
#ifndef _WIN32
    c->fd = -1;
#endif
    c->random = process_id() * 2654435761u + (unsigned long)now_ms();
    return c;
}

void castray_free(castray *c) {
    if (!c)
        return;
    pipe_close(c);
    c->open = c->admitted = 0;
    settle(c);
    free(c->line);
    free(c);
}
