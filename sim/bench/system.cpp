// A simulated system of a board, and its serial line: bytes of a file descriptor, a pseudo terminal for instance.
//
//     simulated DESCRIPTOR CYCLES
//
// What happens in which cycle depends on the bytes alone, not on when they come: while the system waits for a byte, time
// stands still, and after an answer it goes on for CYCLES, in which the host is taken to think.  So every run of a
// program takes the same cycles.  It ends where the line does.

#include <unistd.h>

#include <cstddef>
#include <cstdlib>

#include "Vsimulated.h"
#include "verilated.h"

namespace {

constexpr std::size_t ROOM = 4096;  // bytes that are moved at once
constexpr int RESET_CYCLES = 8;

// The bytes on their way from the system.
struct Answers {
    int line;
    unsigned char bytes[ROOM];
    std::size_t filled = 0;

    void add(unsigned char byte) {
        bytes[filled++] = byte;
        if (filled == ROOM) send();
    }
    void send() {
        for (std::size_t sent = 0; sent < filled;) {
            const ssize_t count = write(line, bytes + sent, filled - sent);
            if (count <= 0) std::exit(0);
            sent += static_cast<std::size_t>(count);
        }
        filled = 0;
    }
};

// The bytes on their way to it.
struct Commands {
    int line;
    unsigned char bytes[ROOM];
    std::size_t next = 0, end = 0;

    unsigned char take() {
        if (next == end) {
            const ssize_t count = read(line, bytes, ROOM);
            if (count <= 0) std::exit(0);
            next = 0;
            end = static_cast<std::size_t>(count);
        }
        return bytes[next++];
    }
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const int line = std::atoi(argv[1]);
    const unsigned long pause = std::strtoul(argv[2], nullptr, 10);
    VerilatedContext context;
    Vsimulated top{&context};
    Answers answers{line};
    Commands commands{line};
    unsigned long waits = 0;

    const auto cycle = [&top] {
        top.clk = 1;
        top.eval();
        top.clk = 0;
        top.eval();
    };
    top.clk = 0;
    top.serial_sink_valid = 0;
    top.serial_source_ready = 1;
    top.rst = 1;
    for (int i = 0; i < RESET_CYCLES; ++i) cycle();
    top.rst = 0;
    for (;;) {
        top.serial_sink_valid = 0;
        top.eval();
        if (top.serial_sink_ready) {  // the bridge waits for a byte
            if (answers.filled) {
                answers.send();
                waits = pause;
            }
            if (waits) {
                --waits;
            } else {
                top.serial_sink_data = commands.take();
                top.serial_sink_valid = 1;
                top.eval();
            }
        }
        if (top.serial_source_valid) answers.add(top.serial_source_data);
        cycle();
    }
}
