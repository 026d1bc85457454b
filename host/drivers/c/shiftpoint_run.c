/* Runs images on a board at a serial line: run PORT IMAGES RESULTS MILLISECONDS
 *
 * It is linked with a program (network.c, network_image.c), and the board is board.h's.  IMAGES and RESULTS are files of
 * elements: image by image, of each the inputs, or the outputs and what layers can be read, in order.  The counters of the
 * first run go to standard output.  MILLISECONDS: in which an answer comes; -1: for ever.
 * It ends with 1 where the engine stops with an error, with 2 where anything else is wrong, with a line on standard error. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "network.h"
#include "shiftpoint_uart.h"

static struct shiftpoint_uart uart;

static void need(const char *what, int result)
{
    if (result == SHIFTPOINT_OK)
        return;
    fprintf(stderr, "%s: %s", what, uart.trouble != NULL ? uart.trouble : shiftpoint_meaning(result));
    if (uart.trouble == NULL)
        fprintf(stderr, " (%s)", shiftpoint_name(result));
    if (result > 0 && uart.trouble == NULL)
        fprintf(stderr, ", at 0x%x", (unsigned)uart.engine.error_address);
    fprintf(stderr, "\n");
    exit(result > 0 && uart.trouble == NULL ? 1 : 2);
}

static void need_file(const char *path, int good)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", path, errno != 0 ? strerror(errno) : "is too short");
    exit(2);
}

static uint8_t *room(size_t bytes)
{
    uint8_t *found = calloc(bytes, 1);

    if (found == NULL) {
        fprintf(stderr, "no memory for %lu bytes\n", (unsigned long)bytes);
        exit(2);
    }
    return found;
}

static size_t bytes_of(const struct shiftpoint_tensor *tensors, uint32_t count)
{
    size_t bytes = 0;

    while (count > 0)
        bytes += shiftpoint_bytes(&tensors[--count]);
    return bytes;
}

/* One run: of a run that is not full, the last image fills it. */
static void run(const uint8_t *images, uint32_t count, const char *path, FILE *results)
{
    const size_t in = bytes_of(network.inputs, network.input_count);
    const size_t out = bytes_of(network.outputs, network.readable_count);
    uint8_t *result = room(out);
    uint32_t image, k;

    for (image = 0; image < network.batch; image++) {
        const uint8_t *elements = images + in * (image < count ? image : count - 1u);

        for (k = 0; k < network.input_count; k++) {
            const size_t bytes = shiftpoint_bytes(&network.inputs[k]);

            need("write", shiftpoint_write(&uart.engine, k, image, elements, bytes));
            elements += bytes;
        }
    }
    need("start", shiftpoint_start(&uart.engine));
    need("run", shiftpoint_wait(&uart.engine));
    for (image = 0; image < count; image++) {
        uint8_t *elements = result;

        for (k = 0; k < network.readable_count; k++) {
            const size_t bytes = shiftpoint_bytes(&network.outputs[k]);

            need("read", shiftpoint_read(&uart.engine, k, image, elements, bytes));
            elements += bytes;
        }
        need_file(path, fwrite(result, 1, out, results) == out);
    }
    free(result);
}

static void print_counters(void)
{
#define SHOW(name, offset) printf("%s %lu\n", #name, (unsigned long)shiftpoint_counter(&uart.engine, offset));
    SHIFTPOINT_COUNTERS(SHOW)
#undef SHOW
}

int main(int count, char **words)
{
    const uint32_t pages = (network.memory_bytes + SHIFTPOINT_PAGE_BYTES - 1u) / SHIFTPOINT_PAGE_BYTES;
    const size_t in = bytes_of(network.inputs, network.input_count);
    uint8_t *images = room(in * network.batch);
    FILE *given, *results;
    size_t found;
    int first = 1;

    if (count != 5) {
        fprintf(stderr, "run PORT IMAGES RESULTS MILLISECONDS\n");
        return 2;
    }
    errno = 0;
    given = fopen(words[2], "rb");
    need_file(words[2], given != NULL);
    results = fopen(words[3], "wb");
    need_file(words[3], results != NULL);
    if (shiftpoint_uart_open(&uart, words[1], &board, room((size_t)pages * SHIFTPOINT_PAGE_BYTES),
                             pages * SHIFTPOINT_PAGE_BYTES) != 0)
        need("open", SHIFTPOINT_FAIL_MEMORY_ACCESS);
    uart.timeout_ms = atoi(words[4]);
    need("connect", shiftpoint_connect(&uart.engine));
    if (shiftpoint_uart_start_memory(&uart) != 0)
        need("start the memory", SHIFTPOINT_FAIL_MEMORY_ACCESS);
    need("load", shiftpoint_load(&uart.engine, &network, network_image, NETWORK_IMAGE_BYTES));
    while ((found = fread(images, 1, in * network.batch, given)) > 0) {
        errno = 0;
        need_file(words[2], found % in == 0);
        run(images, (uint32_t)(found / in), words[3], results);
        if (first)
            print_counters();
        first = 0;
    }
    need_file(words[3], fclose(results) == 0);
    fclose(given);
    shiftpoint_uart_close(&uart);
    free(uart.engine.memory);
    free(images);
    return 0;
}
