/* A viewer that follows the patient: it prints what it would show. cc follow.c castray.c */
#include <stdio.h>
#include "castray.h"

static int event(void *arg, castray *c, const castray_event *e) {
    castray_json patient = castray_resource(e, "patient");
    char id[100];
    if (!patient.begin || castray_text(castray_member(patient, "id"), id, sizeof id) == 0)
        return 500; /* an open that names no patient */
    printf("patient %s\n", id);
    return 200;
}

static int clear(void *arg, castray *c, const char *reason) {
    printf("no patient\n");
    return 200;
}

static void out_of_sync(void *arg, castray *c, const char *why) {
    printf("OUT OF SYNC, this may be the wrong patient: %s\n", why);
}

int main(void) {
    /* Of other opens it is told as a Patient-open, and of every close as a clear. */
    static const char *const events[] = {"Patient-open", NULL};
    castray_options o = {.name = "follow-c", .events = events, .event = event, .clear = clear, .out_of_sync = out_of_sync};
    castray *c = castray_new(&o);
    setvbuf(stdout, NULL, _IONBF, 0);
    while (c && castray_step(c, 1000) >= 0)
        ;
    castray_free(c);
    return 1; /* refused for good */
}
