/* Client of Castray's local protocol, version 1, in C99: castray.h and castray.c, POSIX or Win32, no other library
 * (on Windows link advapi32). follow.c follows a patient in 30 lines; docs/local-protocol.md is the protocol.
 *
 * OUT OF SYNC is not "no patient". When the agent is not there, its connection ends, or no line came from it for 75 s,
 * what the app shows may be wrong: out_of_sync says so, and the app marks its screen. castray_step connects again by
 * itself, after pauses that grow from a quarter of a second to 15 s, and the agent then brings the app to the context by
 * an event or a clear, which ends it.
 *
 * Before a byte is sent it is checked that the agent is a process of the same user: on Linux by SO_PEERCRED, on macOS
 * and the BSDs by getpeereid, on Windows by the owner of the pipe's server process. What is not checked: that this
 * process is the Castray program, which no client can; whoever runs programs as this user may be the agent.
 *
 * There is no thread and no global state. One thread owns a castray and calls castray_step again and again; all
 * callbacks are called from within it, and may call everything here but castray_step and castray_free. A write waits at
 * most 10 s for an agent that does not read, and the connection is then lost. */
#ifndef CASTRAY_H
#define CASTRAY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CASTRAY_PROTOCOL 1
#define CASTRAY_SILENCE_MS 75000        /* the agent sends a status at least every 30 s */
#define CASTRAY_MAX_LINE (6u << 20)
#define CASTRAY_CONTEXT_UNKNOWN (-32003) /* which is not "no patient" */
#define CASTRAY_NOT_CONNECTED (-32010)   /* of agent and hub; with data.unknown send again with the same id */
#define CASTRAY_LOST (-1)                /* the connection to the agent ended before the answer came */

/* A value within a line, checked to be JSON before anybody sees it; begin is NULL when it is absent. It lives as long
 * as the callback that was given it. */
typedef struct { const char *begin, *end; } castray_json;

castray_json castray_parse(const char *text, size_t n);                 /* absent unless all of it is one JSON value */
castray_json castray_member(castray_json object, const char *name);     /* absent where there is none */
castray_json castray_element(castray_json array, size_t index);
/* The text of a string, in UTF-8 and always ended by a zero byte; returns its whole length as snprintf does. What is no
 * string is empty. Half of a surrogate pair becomes U+FFFD. */
size_t castray_text(castray_json string, char *to, size_t size);
int castray_same(castray_json string, const char *text);
long castray_number(castray_json number, long otherwise);
int castray_true(castray_json value);
/* Writes text as a JSON string, with its quotes; returns the whole length as snprintf does. */
size_t castray_quote(const char *text, char *to, size_t size);

typedef struct castray castray;

/* Whose answer is still to be given. */
typedef struct { unsigned long connection; char id[132]; } castray_ticket;

/* A context change. */
typedef struct {
    char name[80];        /* hub.event, such as Patient-open */
    castray_json params;  /* timestamp, id, event, castray */
    castray_json event;   /* the FHIRcast event: hub.event, context */
    int replay, snapshot, derived;
    castray_ticket ticket;
} castray_event;

castray_json castray_resource(const castray_event *e, const char *key); /* of the context's entry, such as patient */

/* The answer to a call, exactly once: code 0 and the result; or a code of the protocol and its error object; or
 * CASTRAY_LOST. */
typedef void castray_reply(void *arg, castray *c, int code, castray_json result);

/* Who the app is and what it does. Strings live as long as the castray. All but name may be NULL or 0. Events and
 * clears are answered by what the callback returns: 200 it follows, 202 heard but will not confirm, 4xx refused, 5xx
 * failed; 0: castray_answer follows. Without a callback: 202. */
typedef struct {
    const char *name, *version;
    const char *address;       /* NULL: CASTRAY_SOCKET, else by the conventions of the system */
    const char *const *events; /* ends with NULL; NULL: all that the app may see; empty: none */
    int listens_only;          /* the agent does not wait for answers */
    unsigned silence_ms;       /* shorter than 75 s is for tests */
    void *arg;
    int (*event)(void *arg, castray *c, const castray_event *e);
    int (*clear)(void *arg, castray *c, const char *reason); /* show no patient */
    /* What is shown: a JSON array of {"patient":[{"system","value"}],"study","accession"}, an element a window. It is
     * copied. NULL as callback: the app cannot say. */
    const char *(*shown)(void *arg, castray *c);
    void (*status)(void *arg, castray *c, castray_json status);  /* on change and at least every 30 s */
    void (*admitted)(void *arg, castray *c, castray_json hello); /* an event or a clear follows */
    void (*out_of_sync)(void *arg, castray *c, const char *why); /* until the next event or clear */
    const char *(*key)(void *arg); /* of castray.json, for control; asked before each hello, for each run has another */
} castray_options;

castray *castray_new(const castray_options *o); /* NULL: no name, or no memory. Connects at the first step. */
void castray_free(castray *c);                  /* leaves; calls that wait are told CASTRAY_LOST */

/* Does what there is to do, and waits at most so many milliseconds for it. 1: connected and admitted; 0: not, and tries
 * again by itself; below 0: the agent refused the app for good, by this code. */
int castray_step(castray *c, int wait_ms);

/* Each returns 0, or -1 when there is no connection or the message has no JSON or is too long; reply is then not
 * called. reply may be NULL. */
int castray_call(castray *c, const char *method, const char *params, castray_reply *reply, void *arg);
int castray_context(castray *c, castray_reply *reply, void *arg);
/* Requests a context change; context is a JSON array. id: NULL lets the agent make one; with one of its own the app can
 * send again when the answer was lost. version: NULL, or the version of shared content that an update builds on. */
int castray_send(castray *c, const char *id, const char *event, const char *context, const char *version,
                 castray_reply *reply, void *arg);
/* Replaces the events wanted, after a reconnect too; they live as those of the options. */
int castray_subscribe(castray *c, const char *const *events, castray_reply *reply, void *arg);
/* Answers an event whose callback returned 0; reason may be NULL and holds no patient data. */
int castray_answer(castray *c, const castray_ticket *t, int status, const char *reason);

#ifdef __cplusplus
}
#endif
#endif
