/* The app of the conformance test, in C: does what the command file says and prints what it lives through. Windows has no
 * poll of stdin, so commands come as lines added to a file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "castray.h"

#ifdef _WIN32
#include <windows.h>
static void sleep_a_second(void) { Sleep(1000); }
#else
#include <unistd.h>
static void sleep_a_second(void) { sleep(1); }
#endif

static int answer = 200, leaving;
static char windows[600] = "[]", key[200];
static const char *key_file, *subscribed[8];
static castray_ticket waiting;

static void say_patient(castray_json event) {
    castray_event e;
    char id[100];
    memset(&e, 0, sizeof e);
    e.event = event;
    castray_text(castray_member(castray_resource(&e, "patient"), "id"), id, sizeof id);
    printf("%s", id[0] ? id : "-");
}

static int event(void *arg, castray *c, const castray_event *e) {
    char id[100];
    (void)arg, (void)c;
    castray_text(castray_member(e->params, "id"), id, sizeof id);
    printf("event %s %s ", e->name, id);
    say_patient(e->event);
    printf(" %s\n", e->replay ? "replay" : "live");
    if (answer == 1) {
        sleep_a_second();
        printf("returned\n");
        return 200;
    }
    if (answer == 0)
        waiting = e->ticket;
    if (answer == 200 || answer == 0)
        return answer;
    castray_answer(c, &e->ticket, answer, "as told");
    return 0;
}

static int clear(void *arg, castray *c, const char *reason) {
    (void)arg, (void)c;
    printf("clear %s\n", reason);
    return 200;
}

static const char *shown(void *arg, castray *c) {
    (void)arg, (void)c;
    return windows;
}

static void status(void *arg, castray *c, castray_json s) {
    char phase[40];
    (void)arg, (void)c;
    castray_text(castray_member(s, "phase"), phase, sizeof phase);
    printf("status %s\n", phase);
}

static void admitted(void *arg, castray *c, castray_json hello) {
    char app[80];
    (void)arg, (void)c;
    castray_text(castray_member(hello, "app"), app, sizeof app);
    printf("admitted %s\n", app);
}

static void out_of_sync(void *arg, castray *c, const char *why) {
    (void)arg, (void)c, (void)why;
    printf("lost\n");
}

static const char *read_key(void *arg) {
    char text[4096];
    FILE *f = key_file ? fopen(key_file, "rb") : NULL;
    size_t n = f ? fread(text, 1, sizeof text, f) : 0;
    (void)arg;
    if (!f)
        return NULL;
    fclose(f);
    castray_text(castray_member(castray_parse(text, n), "key"), key, sizeof key);
    return key;
}

static void replied(void *what, castray *c, int code, castray_json result) {
    char id[100];
    (void)c;
    if (code == CASTRAY_LOST) {
        printf("error lost\n");
    } else if (code) {
        printf("error %d\n", code);
    } else if (strcmp(what, "sent") == 0) {
        castray_text(castray_member(result, "id"), id, sizeof id);
        printf("sent %s\n", id);
    } else if (strcmp(what, "context") == 0) {
        castray_json current = castray_member(castray_member(result, "current"), "event");
        printf("context ");
        if (current.begin)
            say_patient(current);
        printf(current.begin ? "\n" : "none\n");
    } else {
        printf("%s\n", (char *)what);
    }
}

static void send_patient(castray *c, char *words) {
    char context[700], patient[200], *id = strtok(words, " "), *name = strtok(NULL, " "), *who = strtok(NULL, "");
    castray_quote(who, patient, sizeof patient);
    snprintf(context, sizeof context, "[{\"key\":\"patient\",\n\"resource\":{\"resourceType\":\"Patient\",\"id\":%s,"
        "\"identifier\":[{\"system\":\"urn:test:mrn\",\"value\":%s}]}}]", patient, patient);
    if (castray_send(c, id, name, context, NULL, replied, "sent") != 0)
        printf("error lost\n");
}

static void show(const char *words) {
    char system[100], value[200], q[400];
    if (sscanf(words, "%99s %199[^\n]", system, value) != 2) {
        strcpy(windows, "[]");
        return;
    }
    castray_quote(value, q, sizeof q);
    snprintf(windows, sizeof windows, "[{\"patient\":[{\"system\":\"%s\",\"value\":%s}]}]", system, q);
}

static void obey(castray *c, char *line) {
    char *words = strchr(line, ' ');
    words = words ? (*words = 0, words + 1) : line + strlen(line);
    if (strcmp(line, "answer") == 0) {
        answer = atoi(words);
    } else if (strcmp(line, "show") == 0) {
        show(words);
    } else if (strcmp(line, "context") == 0) {
        if (castray_context(c, replied, "context") != 0)
            printf("error lost\n");
    } else if (strcmp(line, "send") == 0) {
        send_patient(c, words);
    } else if (strcmp(line, "subscribe") == 0) {
        static char kept[200];
        int n = 0;
        char *name = strtok(strcpy(kept, words), ",");
        for (; name && n < 7; name = strtok(NULL, ","))
            subscribed[n++] = name;
        subscribed[n] = NULL;
        if (castray_subscribe(c, n ? subscribed : NULL, replied, "subscribed") != 0)
            printf("error lost\n");
    } else if (strcmp(line, "parse") == 0) {
        printf("json %s\n", castray_parse(words, strlen(words)).begin ? "yes" : "no");
    } else if (strcmp(line, "leave") == 0) {
        leaving = 1;
    }
}

int main(int argc, char **argv) {
    char line[1000];
    castray_options o = {.name = argv[1], .version = "1", .event = event, .clear = clear, .shown = shown, .status = status,
                         .admitted = admitted, .out_of_sync = out_of_sync, .key = read_key};
    FILE *commands = fopen(argv[3], "r");
    castray *c;
    int at = 0;
    o.silence_ms = (unsigned)(1000 * atof(argv[2]));
    key_file = argc > 4 ? argv[4] : NULL;
    if (!commands || !(c = castray_new(&o)))
        return 1;
    setvbuf(stdout, NULL, _IONBF, 0);
    printf("silence %d\n", CASTRAY_SILENCE_MS / 1000);
    while (!leaving) {
        int code = castray_step(c, 20);
        if (code < 0) {
            printf("refused %d\n", code);
            break;
        }
        if (waiting.id[0]) {
            castray_answer(c, &waiting, 200, NULL);
            memset(&waiting, 0, sizeof waiting);
        }
        fseek(commands, 0, SEEK_CUR); /* so that what was added is seen */
        while (!leaving && fgets(line + at, (int)sizeof line - at, commands)) {
            at = (int)strlen(line);
            if (line[at - 1] != '\n')
                break; /* it is being written */
            line[at - 1] = 0;
            at = 0;
            obey(c, line);
            printf("obeyed\n");
        }
    }
    castray_free(c);
    printf("left\n");
    fclose(commands);
    return 0;
}
