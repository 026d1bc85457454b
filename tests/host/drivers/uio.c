/* The driver in C under Linux, on files in the place of devices: uio FOLDER.  What was found is printed. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shiftpoint_uio.h"

static const char *in(const char *folder, const char *name)
{
    static char paths[2][512];
    static unsigned turn;

    turn ^= 1u;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", folder, name);
    return paths[turn];
}

/* Waiting for an interrupt: masked, told of, and too late. */
static void interrupt(struct shiftpoint_uio *uio)
{
    const int own = uio->interrupt;
    uint32_t word = 7;
    int pair[2], first, second;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        return;
    uio->interrupt = pair[0];
    uio->timeout_ms = 20;
    first = uio->engine.wait(uio->engine.context);
    if (write(pair[1], &word, sizeof word) != (ssize_t)sizeof word)
        return;
    second = uio->engine.wait(uio->engine.context);
    printf("wait %d %d", first, second);
    if (read(pair[1], &word, sizeof word) == (ssize_t)sizeof word)
        printf(" unmask %u", (unsigned)word);
    printf("\n");
    uio->interrupt = own;
    close(pair[0]);
    close(pair[1]);
}

int main(int count, char **words)
{
    struct shiftpoint_uio uio;
    struct shiftpoint *engine = &uio.engine;

    if (count != 2)
        return 2;
    if (shiftpoint_uio_open(&uio, in(words[1], "uio0"), in(words[1], "udmabuf0"), words[1], 1) != 0) {
        printf("open: %s\n", strerror(errno));
        return 1;
    }
    printf("window 0x%x 0x%x\n", (unsigned)engine->window_base, (unsigned)engine->window_bytes);
    printf("connect %s\n", shiftpoint_name(shiftpoint_connect(engine)));
    engine->write(engine->context, SHIFTPOINT_WINDOW_BASE, 0x12345000u);
    printf("register 0x%x\n", (unsigned)engine->read(engine->context, SHIFTPOINT_WINDOW_BASE));
    engine->memory[0x123] = 0xAB;
    engine->flush(engine->context, engine->memory + 0x123, 30);
    engine->invalidate(engine->context, engine->memory + 0x40, 16);
    interrupt(&uio);
    printf("reset %s\n", shiftpoint_name(shiftpoint_reset(engine)));
    close(uio.for_device);
    uio.for_device = -1;
    engine->flush(engine->context, engine->memory, 16);
    printf("reset %s: %s\n", shiftpoint_name(shiftpoint_reset(engine)), strerror(uio.failure));
    shiftpoint_uio_close(&uio);
    return 0;
}
