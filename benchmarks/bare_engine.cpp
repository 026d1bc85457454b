// The engine's Verilated model with no bench: a clock, a register port that obeys standard input, and the memory of the
// simulation (docs/architecture.md) as a queue of bursts.  simulation.py compiles it, with the module `bare`.
//
// argv: file behind the memory, bus address of its first byte, latency, beat_every.  A line of standard input is a
// command: `w OFFSET VALUE` writes a register, `r OFFSET` prints one, `i CYCLES` waits for the interrupt, that many
// cycles at most, and prints the processor's seconds that it took, below 0 where it did not come.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "Vbare.h"
#include "verilated.h"

namespace {

constexpr int BEAT = BEAT_BYTES;

struct Burst {
    uint32_t address;
    unsigned left;
    uint64_t from;  // cycle of its first beat, or of its response
};

Vbare engine;
uint8_t* bytes;
uint64_t size, now, latency, beat_every, read_next, write_next;
uint32_t base;
std::deque<Burst> reads, writes;
std::deque<uint64_t> answers;

double seconds() {
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "%s\n", what);
    std::exit(1);
}

uint8_t* at(uint32_t address) {
    const uint64_t offset = static_cast<uint32_t>(address - base);
    if (offset + BEAT > size) fail("a burst leaves the memory");
    return bytes + offset;
}

// One cycle: what the engine shows in it is taken, then the memory decides about the next one.
void cycle() {
    engine.clk = 0;
    engine.eval();
    const bool read = engine.m_axi_rvalid && engine.m_axi_rready, wrote = engine.m_axi_wvalid && engine.m_axi_wready;
    const bool answered = engine.m_axi_bvalid && engine.m_axi_bready;
    if (engine.m_axi_arvalid) reads.push_back({engine.m_axi_araddr, engine.m_axi_arlen + 1u, now + latency});
    if (engine.m_axi_awvalid) writes.push_back({engine.m_axi_awaddr, engine.m_axi_awlen + 1u, 0});
    if (read) {
        read_next = now + beat_every;
        reads.front().address += BEAT;
        if (--reads.front().left == 0) reads.pop_front();
    }
    if (wrote) {
        write_next = now + beat_every;
        Burst& burst = writes.front();
        uint8_t* to = at(burst.address);
        const auto* from = reinterpret_cast<const uint8_t*>(&engine.m_axi_wdata);
        for (int i = 0; i < BEAT; ++i) {
            if (engine.m_axi_wstrb >> i & 1) to[i] = from[i];
        }
        burst.address += BEAT;
        if (--burst.left == 0) {
            answers.push_back(now + latency);
            writes.pop_front();
        }
    }
    if (answered) answers.pop_front();

    engine.clk = 1;
    engine.eval();
    ++now;
    engine.m_axi_arready = engine.m_axi_awready = 1;
    engine.m_axi_wready = now >= write_next;
    engine.m_axi_rvalid = !reads.empty() && now >= reads.front().from && now >= read_next;
    if (engine.m_axi_rvalid) {
        std::memcpy(&engine.m_axi_rdata, at(reads.front().address), BEAT);
        engine.m_axi_rlast = reads.front().left == 1;
    }
    engine.m_axi_bvalid = !answers.empty() && now >= answers.front();
}

void write(uint32_t offset, uint32_t value) {
    engine.s_axil_awaddr = offset;
    engine.s_axil_wdata = value;
    engine.s_axil_wstrb = 15;
    engine.s_axil_awvalid = engine.s_axil_wvalid = engine.s_axil_bready = 1;
    for (bool over = false; !over; ) {
        engine.eval();
        const bool address = engine.s_axil_awready, data = engine.s_axil_wready;
        over = engine.s_axil_bvalid;
        cycle();
        if (address) engine.s_axil_awvalid = 0;
        if (data) engine.s_axil_wvalid = 0;
    }
    engine.s_axil_bready = 0;
}

uint32_t read(uint32_t offset) {
    engine.s_axil_araddr = offset;
    engine.s_axil_arvalid = engine.s_axil_rready = 1;
    for (uint32_t value = 0;;) {
        engine.eval();
        const bool address = engine.s_axil_arready, data = engine.s_axil_rvalid;
        if (data) value = engine.s_axil_rdata;
        cycle();
        if (address) engine.s_axil_arvalid = 0;
        if (data) {
            engine.s_axil_rready = 0;
            return value;
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) fail("usage: FILE BASE LATENCY BEAT_EVERY");
    const int file = open(argv[1], O_RDWR);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) fail("the memory cannot be opened");
    size = static_cast<uint64_t>(status.st_size);
    void* where = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (where == MAP_FAILED) fail("the memory cannot be mapped");
    bytes = static_cast<uint8_t*>(where);
    base = static_cast<uint32_t>(std::strtoul(argv[2], nullptr, 0));
    latency = std::strtoull(argv[3], nullptr, 0);
    beat_every = std::strtoull(argv[4], nullptr, 0);

    engine.rst = 1;
    for (int i = 0; i < 3; ++i) cycle();
    engine.rst = 0;
    cycle();
    char command;
    unsigned offset;
    while (std::scanf(" %c %u", &command, &offset) == 2) {
        if (command == 'w') {
            unsigned value;
            if (std::scanf("%u", &value) != 1) fail("a register is written with a value");
            write(offset, value);
        } else if (command == 'r') {
            std::printf("%u\n", read(offset));
        } else {
            const double start = seconds();
            const uint64_t end = now + offset;
            while (!engine.interrupt_line && now < end) cycle();
            std::printf("%.9f\n", engine.interrupt_line ? seconds() - start : -1.0);
        }
        std::fflush(stdout);
    }
    engine.final();
    return 0;
}
