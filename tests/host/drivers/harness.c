/* Runs the driver in C against an engine that another process plays: registers through a pipe, memory through a file.
 *
 *     harness MEMORY_FILE BASE BYTES SCENARIO [FILE]
 *
 * A register access goes to standard output ('r' or 'w', offset, value, 32 bits each), and the value read comes back; 'i'
 * waits for the interrupt, and what wait() returns comes back.  What was found is printed to standard error.
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "network.h"

#define MOST_BYTES 65536u
#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition)) {                                                          \
            fprintf(stderr, "line %d: %s does not hold\n", __LINE__, #condition);    \
            exit(1);                                                                 \
        }                                                                            \
    } while (0)

static unsigned flushed, invalidated;

static uint32_t ask(char what, uint32_t offset, uint32_t value)
{
    unsigned char message[9];
    uint32_t answer;

    message[0] = (unsigned char)what;
    memcpy(message + 1, &offset, 4);
    memcpy(message + 5, &value, 4);
    CHECK(fwrite(message, sizeof message, 1, stdout) == 1 && fflush(stdout) == 0);
    CHECK(fread(&answer, sizeof answer, 1, stdin) == 1);
    return answer;
}

static uint32_t read_register(void *context, uint32_t offset)
{
    CHECK(context == NULL);
    return ask('r', offset, 0);
}

static void write_register(void *context, uint32_t offset, uint32_t value)
{
    CHECK(context == NULL);
    ask('w', offset, value);
}

static int wait_for_interrupt(void *context)
{
    CHECK(context == NULL);
    return (int)ask('i', 0, 0);
}

static void flush_caches(void *context, void *start, size_t bytes)
{
    CHECK(context == NULL && start != NULL && bytes > 0);
    flushed++;
}

static void invalidate_caches(void *context, void *start, size_t bytes)
{
    CHECK(context == NULL && start != NULL && bytes > 0);
    invalidated++;
}

static void say(const char *what, int result)
{
    fprintf(stderr, "%s %d %s: %s\n", what, result, shiftpoint_name(result), shiftpoint_meaning(result));
}

static void need(const char *what, int result)
{
    if (result != SHIFTPOINT_OK) {
        say(what, result);
        exit(1);
    }
}

static void take(FILE *file, void *data, size_t bytes)
{
    CHECK(fread(data, 1, bytes, file) == bytes);
}

static uint32_t number(FILE *file)
{
    uint32_t value;

    take(file, &value, sizeof value);
    return value;
}

/* One array of the vectors, image by image: written to every place of a run, the last one to those that are left. */
static void write_input(struct shiftpoint *engine, FILE *file, uint32_t input, uint32_t images)
{
    const size_t bytes = shiftpoint_bytes(&network.inputs[input]);
    uint8_t *image = malloc(bytes);
    uint32_t k;

    for (k = 0; k < network.batch; k++) {
        if (k < images)
            take(file, image, bytes);
        need("write", shiftpoint_write(engine, input, k, image, bytes));
    }
    free(image);
}

static uint32_t compare_output(struct shiftpoint *engine, FILE *file, uint32_t output, uint32_t images)
{
    const size_t bytes = shiftpoint_bytes(&network.outputs[output]);
    uint8_t *expected = malloc(bytes), *found = malloc(bytes);
    uint32_t k;

    for (k = 0; k < images; k++) {
        take(file, expected, bytes);
        need("read", shiftpoint_read(engine, output, k, found, bytes));
        CHECK(memcmp(expected, found, bytes) == 0);
    }
    free(expected);
    free(found);
    return images * (uint32_t)bytes;
}

static void compare_pieces(struct shiftpoint *engine, FILE *file)
{
    static uint8_t piece[MOST_BYTES];
    uint32_t left;

    for (left = number(file); left > 0; left--) {
        const uint32_t offset = number(file), bytes = number(file);

        CHECK(bytes <= sizeof piece);
        take(file, piece, bytes);
        CHECK(memcmp(engine->memory + offset, piece, bytes) == 0);
    }
}

static void vectors(struct shiftpoint *engine, const char *path)
{
    FILE *file = fopen(path, "rb");
    char magic[8];
    uint32_t runs, run, k, bytes = 0;

    CHECK(file != NULL);
    take(file, magic, sizeof magic);
    CHECK(memcmp(magic, "SPVECT01", 8) == 0);
    CHECK(number(file) == network.config);
    CHECK(number(file) == network.image_crc);
    runs = number(file);
    for (run = 0; run < runs; run++) {
        const uint32_t images = number(file);

        for (k = 0; k < network.input_count; k++)
            write_input(engine, file, k, images);
        compare_pieces(engine, file);
        need("start", shiftpoint_start(engine));
        need("wait", shiftpoint_wait(engine));
        for (k = 0; k < network.output_count; k++)
            bytes += compare_output(engine, file, k, images);
    }
    CHECK(fgetc(file) == EOF);
    fclose(file);
    fprintf(stderr, "%u runs, %u bytes equal, cycles %u, caches %d\n", runs, bytes,
            shiftpoint_counter(engine, SHIFTPOINT_CYCLES), flushed > runs && invalidated > runs);
}

/* Pixels of the first input, and the bytes of memory that they become. */
static void pixels(struct shiftpoint *engine, const char *path)
{
    const size_t bytes = shiftpoint_bytes(&network.inputs[0]) / network.inputs[0].element_bytes;
    uint8_t *image = malloc(bytes);
    FILE *file = fopen(path, "rb");

    CHECK(file != NULL);
    take(file, image, bytes);
    say("pixels", shiftpoint_write_pixels(engine, 0, 0, image, bytes));
    if (network.inputs[0].pixels != NULL)
        compare_pieces(engine, file);
    fclose(file);
    free(image);
}

/* A run that the engine ends with an error, and the next one. */
static void error(struct shiftpoint *engine)
{
    need("start", shiftpoint_start(engine));
    say("wait", shiftpoint_wait(engine));
    fprintf(stderr, "address 0x%x\n", engine->error_address);
    need("start", shiftpoint_start(engine));
    say("wait", shiftpoint_wait(engine));
}

static void hang(struct shiftpoint *engine)
{
    static uint8_t image[MOST_BYTES];
    const size_t bytes = shiftpoint_bytes(&network.inputs[0]);

    need("start", shiftpoint_start(engine));
    say("wait", shiftpoint_wait(engine));
    say("start", shiftpoint_start(engine));
    say("write", shiftpoint_write(engine, 0, 0, image, bytes));
    say("read", shiftpoint_read(engine, 0, 0, image, shiftpoint_bytes(&network.outputs[0])));
    say("load", shiftpoint_load(engine, &network, NULL, 0));
    need("reset", shiftpoint_reset(engine));
    need("load", shiftpoint_load(engine, &network, NULL, 0));
    need("start", shiftpoint_start(engine));
    say("wait", shiftpoint_wait(engine));
}

static void misuse(struct shiftpoint *engine)
{
    static uint8_t image[MOST_BYTES];
    const size_t in = shiftpoint_bytes(&network.inputs[0]), out = shiftpoint_bytes(&network.outputs[0]);
    struct shiftpoint_network other = network;
    struct shiftpoint bad = *engine;

    say("write before load", shiftpoint_write(engine, 0, 0, image, in));
    say("read before load", shiftpoint_read(engine, 0, 0, image, out));
    say("start before load", shiftpoint_start(engine));
    say("wait before start", shiftpoint_wait(engine));
    say("load of too few bytes", shiftpoint_load(engine, &network, network_image, NETWORK_IMAGE_BYTES - 1u));
    say("load of nothing", shiftpoint_load(engine, &network, NULL, 0));
    other.config++;
    say("load for another engine", shiftpoint_load(engine, &other, network_image, NETWORK_IMAGE_BYTES));
    other = network;
    other.memory_bytes = engine->window_bytes + 4096u;
    say("load of too much", shiftpoint_load(engine, &other, network_image, NETWORK_IMAGE_BYTES));
    memcpy(engine->memory, network_image, NETWORK_IMAGE_BYTES / 2u);
    say("load that was interrupted", shiftpoint_load(engine, &network, NULL, 0));
    say("start after a failed load", shiftpoint_start(engine));
    need("load", shiftpoint_load(engine, &network, network_image, NETWORK_IMAGE_BYTES));
    need("load of what is there", shiftpoint_load(engine, &network, NULL, 0));
    say("write of a short buffer", shiftpoint_write(engine, 0, 0, image, in - 1u));
    say("write of a long buffer", shiftpoint_write(engine, 0, 0, image, in + 1u));
    say("write of no input", shiftpoint_write(engine, network.input_count, 0, image, in));
    say("write of no image", shiftpoint_write(engine, 0, network.batch, image, in));
    say("read into a short buffer", shiftpoint_read(engine, 0, 0, image, out - 1u));
    say("read of no output", shiftpoint_read(engine, network.output_count, 0, image, out));
    bad.window_base += 4u;
    say("connect to a crooked window", shiftpoint_connect(&bad));
    bad.window_base = 0xFFFFF000u;
    bad.window_bytes = 0x2000u;
    say("connect to a window beyond 4 GiB", shiftpoint_connect(&bad));
    bad.window_bytes = 0;
    say("connect to no window", shiftpoint_connect(&bad));
    say("unknown", 99);
}

int main(int count, char **words)
{
    struct shiftpoint engine;
    size_t base, bytes;
    uint8_t *map;
    int file;

    CHECK(count >= 5);
    memset(&engine, 0, sizeof engine);
    base = strtoul(words[2], NULL, 0);
    bytes = strtoul(words[3], NULL, 0);
    file = open(words[1], O_RDWR);
    map = mmap(NULL, base + bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(file >= 0 && map != MAP_FAILED);
    engine.read = read_register;
    engine.write = write_register;
    engine.flush = flush_caches;
    engine.invalidate = invalidate_caches;
    engine.wait = getenv("HARNESS_POLLS") != NULL ? NULL : wait_for_interrupt;
    engine.memory = map + base;
    engine.window_base = (uint32_t)base;
    engine.window_bytes = (uint32_t)bytes;
    engine.watchdog = 5000;
    engine.polls = 100;
    if (strcmp(words[4], "connect") == 0) {
        say("connect", shiftpoint_connect(&engine));
        return 0;
    }
    need("connect", shiftpoint_connect(&engine));
    if (strcmp(words[4], "misuse") == 0) {
        misuse(&engine);
        return 0;
    }
    need("load", shiftpoint_load(&engine, &network, network_image, NETWORK_IMAGE_BYTES));
    if (strcmp(words[4], "vectors") == 0)
        vectors(&engine, words[5]);
    else if (strcmp(words[4], "pixels") == 0)
        pixels(&engine, words[5]);
    else if (strcmp(words[4], "error") == 0)
        error(&engine);
    else if (strcmp(words[4], "hang") == 0)
        hang(&engine);
    else
        CHECK(!"a scenario");
    return 0;
}
