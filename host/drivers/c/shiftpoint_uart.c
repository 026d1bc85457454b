/* A shiftpoint engine behind a serial line; shiftpoint_uart.h says what its functions do. */
#define _DEFAULT_SOURCE

#include "shiftpoint_uart.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* A command is a byte, the number of words in a byte, and the address of the first in words; then come the words, to the
 * board or from it.  Numbers are big-endian. */
#define WRITE 1u
#define READ 2u
#define WORD 4u
#define HEAD 6u
#define MOST_WORDS 255u
#define FORGOTTEN_MS 150 /* after which the bridge knows nothing of a command that another host has left unfinished */
#define ANSWER_MS 2000 /* in which an answer comes, but for a board that is gone */
#define POLLS 100000000u

static int fail(struct shiftpoint_uart *uart, const char *trouble)
{
    if (uart->trouble == NULL)
        uart->trouble = trouble;
    return -1;
}

static void pause_ns(unsigned long long ns)
{
    struct timespec left;

    left.tv_sec = (time_t)(ns / 1000000000u);
    left.tv_nsec = (long)(ns % 1000000000u);
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

static int put(struct shiftpoint_uart *uart, const uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        const ssize_t count = write(uart->line, data, bytes);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return fail(uart, "the line broke off");
        data += count;
        bytes -= (size_t)count;
    }
    return 0;
}

static int get(struct shiftpoint_uart *uart, uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        struct pollfd file;
        ssize_t count;
        int ready;

        file.fd = uart->line;
        file.events = POLLIN;
        ready = poll(&file, 1, uart->timeout_ms);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0)
            return fail(uart, "no board answers");
        count = ready < 0 ? -1 : read(uart->line, data, bytes);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return fail(uart, "the line broke off");
        data += count;
        bytes -= (size_t)count;
    }
    return 0;
}

static void head(uint8_t *command, unsigned kind, unsigned words, uint32_t address)
{
    const uint32_t word = address / WORD;

    command[0] = (uint8_t)kind;
    command[1] = (uint8_t)words;
    command[2] = (uint8_t)(word >> 24);
    command[3] = (uint8_t)(word >> 16);
    command[4] = (uint8_t)(word >> 8);
    command[5] = (uint8_t)word;
}

/* Memory has the lowest byte of a word first, the line the highest. */
static void turn(uint8_t *to, const uint8_t *from, size_t words)
{
    size_t k;

    for (k = 0; k < words * WORD; k++)
        to[k] = from[k ^ 3u];
}

/* Whole words into memory; nothing where something went wrong before. */
static int put_words(struct shiftpoint_uart *uart, uint32_t address, const uint8_t *data, size_t words)
{
    uint8_t command[HEAD + MOST_WORDS * WORD];

    while (words > 0 && uart->trouble == NULL) {
        const size_t part = words < MOST_WORDS ? words : MOST_WORDS;

        head(command, WRITE, (unsigned)part, address);
        turn(command + HEAD, data, part);
        if (put(uart, command, HEAD + part * WORD) != 0)
            break;
        address += (uint32_t)(part * WORD);
        data += part * WORD;
        words -= part;
    }
    return uart->trouble == NULL ? 0 : -1;
}

/* Whole words of memory; zeros where something went wrong, now or before. */
static int get_words(struct shiftpoint_uart *uart, uint32_t address, uint8_t *data, size_t words)
{
    uint8_t command[HEAD], answer[MOST_WORDS * WORD];

    while (words > 0 && uart->trouble == NULL) {
        const size_t part = words < MOST_WORDS ? words : MOST_WORDS;

        head(command, READ, (unsigned)part, address);
        if (put(uart, command, HEAD) != 0 || get(uart, answer, part * WORD) != 0)
            break;
        turn(data, answer, part);
        address += (uint32_t)(part * WORD);
        data += part * WORD;
        words -= part;
    }
    memset(data, 0, words * WORD);
    return uart->trouble == NULL ? 0 : -1;
}

static uint32_t number(const uint8_t *word)
{
    return word[0] | (uint32_t)word[1] << 8 | (uint32_t)word[2] << 16 | (uint32_t)word[3] << 24;
}

static int put_number(struct shiftpoint_uart *uart, uint32_t address, uint32_t value)
{
    uint8_t word[WORD];

    word[0] = (uint8_t)value;
    word[1] = (uint8_t)(value >> 8);
    word[2] = (uint8_t)(value >> 16);
    word[3] = (uint8_t)(value >> 24);
    return put_words(uart, address, word, 1);
}

static uint32_t read_register(void *context, uint32_t offset)
{
    struct shiftpoint_uart *uart = context;
    uint8_t word[WORD];

    get_words(uart, uart->board->registers + offset, word, 1);
    return number(word);
}

static void write_register(void *context, uint32_t offset, uint32_t value)
{
    struct shiftpoint_uart *uart = context;

    put_number(uart, uart->board->registers + offset, value);
}

/* Part of a word: what stands beside it is the board's. */
static void flush_part(struct shiftpoint_uart *uart, const uint8_t *start, uint32_t offset, size_t bytes)
{
    const uint32_t first = offset % WORD, address = uart->board->memory + offset - first;
    uint8_t word[WORD], found[WORD];

    get_words(uart, address, word, 1);
    memcpy(word + first, start, bytes);
    put_words(uart, address, word, 1);
    get_words(uart, address, found, 1);
    if (memcmp(word, found, WORD) != 0)
        fail(uart, "a byte arrived as another: write it again, or at a lower baud rate");
}

static void flush_memory(void *context, void *start, size_t bytes)
{
    struct shiftpoint_uart *uart = context;
    const uint8_t *data = start;
    uint8_t found[MOST_WORDS * WORD];
    uint32_t offset = (uint32_t)(data - uart->engine.memory);

    while (bytes > 0 && uart->trouble == NULL) {
        const size_t first = offset % WORD, room = WORD - first;
        size_t part = bytes < room ? bytes : room;

        if (part < WORD) {
            flush_part(uart, data, offset, part);
        } else {
            part = bytes < sizeof found ? bytes / WORD * WORD : sizeof found;
            put_words(uart, uart->board->memory + offset, data, part / WORD);
            get_words(uart, uart->board->memory + offset, found, part / WORD);
            if (memcmp(data, found, part) != 0)
                fail(uart, "a byte arrived as another: write it again, or at a lower baud rate");
        }
        data += part;
        offset += (uint32_t)part;
        bytes -= part;
    }
}

/* Whole words are taken: those around the part are the board's in any case. */
static void invalidate_memory(void *context, void *start, size_t bytes)
{
    struct shiftpoint_uart *uart = context;
    const size_t first = (size_t)((uint8_t *)start - uart->engine.memory) / WORD * WORD;
    const size_t end = ((size_t)((uint8_t *)start - uart->engine.memory) + bytes + WORD - 1u) / WORD * WORD;

    get_words(uart, uart->board->memory + (uint32_t)first, uart->engine.memory + first, (end - first) / WORD);
}

static int broken(void *context)
{
    const struct shiftpoint_uart *uart = context;

    return uart->trouble != NULL;
}

static int speed_of(uint32_t baud, speed_t *speed)
{
    static const struct {
        uint32_t baud;
        speed_t speed;
    } known[] = {
        {9600, B9600}, {19200, B19200}, {38400, B38400}, {57600, B57600}, {115200, B115200}, {230400, B230400},
#ifdef B1000000
        {460800, B460800}, {500000, B500000}, {921600, B921600}, {1000000, B1000000}, {2000000, B2000000},
        {3000000, B3000000},
#endif
    };
    size_t k;

    for (k = 0; k < sizeof known / sizeof known[0]; k++)
        if (known[k].baud == baud) {
            *speed = known[k].speed;
            return 0;
        }
    return -1;
}

/* Eight bits, no parity, no control characters, no flow control. */
static int make_raw(int line, speed_t speed)
{
    struct termios form;

    if (tcgetattr(line, &form) != 0)
        return -1;
    cfmakeraw(&form);
    form.c_cflag |= CLOCAL | CREAD;
    form.c_cflag &= ~(tcflag_t)(CSTOPB | PARENB);
    form.c_cc[VMIN] = 1;
    form.c_cc[VTIME] = 0;
    return cfsetispeed(&form, speed) != 0 || cfsetospeed(&form, speed) != 0 ? -1 : tcsetattr(line, TCSANOW, &form);
}

static int open_line(struct shiftpoint_uart *uart, const char *port)
{
    speed_t speed;

    if (speed_of(uart->board->baud, &speed) != 0)
        return fail(uart, "no serial line here has this baud rate");
    uart->line = open(port, O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (uart->line < 0)
        return fail(uart, strerror(errno));
    if (flock(uart->line, LOCK_EX | LOCK_NB) != 0)
        return fail(uart, "another program uses it");
    if (make_raw(uart->line, speed) != 0 || fcntl(uart->line, F_SETFL, 0) != 0)
        return fail(uart, strerror(errno));
    pause_ns(FORGOTTEN_MS * 1000000ull);
    tcflush(uart->line, TCIFLUSH);
    return 0;
}

int shiftpoint_uart_open(struct shiftpoint_uart *uart, const char *port, const struct shiftpoint_board *board,
                         uint8_t *memory, uint32_t bytes)
{
    memset(uart, 0, sizeof *uart);
    uart->board = board;
    uart->line = -1;
    uart->timeout_ms = ANSWER_MS;
    uart->engine.read = read_register;
    uart->engine.write = write_register;
    uart->engine.flush = flush_memory;
    uart->engine.invalidate = invalidate_memory;
    uart->engine.broken = broken;
    uart->engine.context = uart;
    uart->engine.memory = memory;
    uart->engine.window_base = board->memory;
    uart->engine.window_bytes = bytes;
    uart->engine.polls = POLLS;
    if (bytes > board->memory_bytes)
        return fail(uart, "the board has less memory than the window");
    if (open_line(uart, port) != 0) {
        shiftpoint_uart_close(uart);
        return -1;
    }
    return 0;
}

int shiftpoint_uart_start_memory(struct shiftpoint_uart *uart)
{
    /* Two places that one bit of an address tells apart, or all of them, are one where addresses do not arrive. */
    static const uint8_t patterns[4][WORD] = {
        {0x5A, 0xA5, 0x0F, 0xF0}, {0xA5, 0x5A, 0xF0, 0x0F}, {0xA5, 0x5A, 0xF0, 0x0F}, {0x5A, 0xA5, 0x0F, 0xF0}};
    const uint32_t size = uart->board->memory_bytes / SHIFTPOINT_PAGE_BYTES * SHIFTPOINT_PAGE_BYTES;
    const uint32_t first = uart->board->memory, last = first + size - WORD;
    uint8_t found[2][WORD];
    uint32_t k;

    for (k = 0; k < uart->board->start_count; k++) {
        const struct shiftpoint_bus_write *write = &uart->board->start[k];

        put_number(uart, write->address, write->value);
        pause_ns(write->cycles * 1000000000ull / uart->board->clock_hz);
    }
    for (k = 0; k < 4u && uart->trouble == NULL; k += 2u) {
        put_words(uart, first, patterns[k], 1);
        put_words(uart, last, patterns[k + 1u], 1);
        get_words(uart, first, found[0], 1);
        get_words(uart, last, found[1], 1);
        if (memcmp(found, patterns[k], sizeof found) != 0)
            fail(uart, "the memory does not hold what is written");
    }
    return uart->trouble == NULL ? 0 : -1;
}

void shiftpoint_uart_close(struct shiftpoint_uart *uart)
{
    if (uart->line >= 0)
        close(uart->line);
    uart->line = -1;
}
