/* A shiftpoint engine behind a serial line: LiteX's bridge from a UART to the bus (UARTBone), under POSIX.
 *
 * The window is kept here as well: what the driver writes goes over the line when it is flushed, and what it reads comes
 * over it when it is invalidated.  The line checks nothing, so all that is written is read back.  Where the line breaks off,
 * nobody answers, or a byte arrives as another, the driver's function fails with SHIFTPOINT_FAIL_MEMORY_ACCESS, and so do all
 * behind it until the line is opened again; `trouble` says why. */
#ifndef SHIFTPOINT_UART_H
#define SHIFTPOINT_UART_H

#include "shiftpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A write to the bus, and the cycles that the system then needs before the next. */
struct shiftpoint_bus_write {
    uint32_t address, value, cycles;
};

/* A system on a board as its host sees it; `board build` writes one as board.h. */
struct shiftpoint_board {
    uint32_t clock_hz, baud;
    uint32_t registers; /* byte address of the engine's */
    uint32_t memory, memory_bytes; /* where the engine and the host see it */
    const struct shiftpoint_bus_write *start; /* what makes the memory usable after power-up, in order */
    uint32_t start_count;
};

struct shiftpoint_uart {
    struct shiftpoint engine; /* to connect; its context is this structure */
    const struct shiftpoint_board *board;
    int line; /* open file; -1: none */
    int timeout_ms; /* of an answer; -1: for ever */
    const char *trouble; /* NULL, or the first thing that went wrong */
};

/* Open a serial port (/dev/ttyUSB0) for this host alone.  memory: `bytes` of the host's own, which stand for the window: the
 * first ones of the board's memory, in whole pages; as many as the program needs are enough.
 * Returns 0; or -1, with `trouble`, and then nothing is left open. */
int shiftpoint_uart_open(struct shiftpoint_uart *uart, const char *port, const struct shiftpoint_board *board,
                         uint8_t *memory, uint32_t bytes);

/* Make the board's memory usable, as it is after power-up, and see that it holds what is written.  After
 * shiftpoint_connect, so that nothing is using it.  Returns 0; or -1, with `trouble`. */
int shiftpoint_uart_start_memory(struct shiftpoint_uart *uart);

void shiftpoint_uart_close(struct shiftpoint_uart *uart);

#ifdef __cplusplus
}
#endif

#endif
