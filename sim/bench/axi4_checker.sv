// An AXI4 port watched, both sides of it: what this engine and its memory promise of AXI4, a rule a message.
//
// Payloads are as AMBA orders their signals: ar, aw: ID, ADDR, LEN, SIZE, BURST, LOCK, CACHE, PROT, QOS; r: ID, DATA,
// RESP, LAST; w: DATA, STRB, LAST; b: ID, RESP.  One ID, so bursts are answered in their order.
// LONGEST_READ, LONGEST_WRITE: beats of a burst at most.  DEPTH: bursts under way in each direction at most, a power of
// two.  STOP: see handshake_checker.sv.
// idle: nothing is offered and no burst under way; a register.
//
// Written from the standard and docs/architecture.md, with numbers of its own: what it took from the gateware it would
// not check.

`default_nettype none

module axi4_checker #(
  parameter int BITS = 32,
  parameter int LONGEST_READ = 256,
  parameter int LONGEST_WRITE = 256,
  parameter int DEPTH = 64,
  parameter bit STOP = 1
) (
  input wire clk,
  input wire rst,
  output logic idle,

  input wire [57:0] ar,
  input wire arvalid,
  input wire arready,
  input wire [BITS+3:0] r,
  input wire rvalid,
  input wire rready,

  input wire [57:0] aw,
  input wire awvalid,
  input wire awready,
  input wire [BITS+BITS/8:0] w,
  input wire wvalid,
  input wire wready,
  input wire [2:0] b,
  input wire bvalid,
  input wire bready
);
  localparam int BYTES = BITS / 8;
  localparam int PLACES = $clog2(DEPTH);
  localparam bit [1:0] INCR = 2'b01, EXOKAY = 2'b01;
  localparam bit [3:0] BUFFERABLE = 4'b0011;  // normal memory, not cached

  typedef struct packed {
    bit id;
    bit [31:0] addr;
    bit [7:0] len;
    bit [2:0] size;
    bit [1:0] burst;
    bit lock;
    bit [3:0] cache;
    bit [2:0] prot;
    bit [3:0] qos;
  } address_t;

  address_t read_address, write_address;
  assign read_address = ar;
  assign write_address = aw;

  longint unsigned now;

  // Bursts by their number: beats that a read still has; beats of a write by its address, and by its data so far.
  bit [8:0] left[DEPTH], asked[DEPTH], given[DEPTH];
  bit [PLACES-1:0] reading, read;  // the read that is answered next, and the next to be asked
  bit [PLACES-1:0] addressed, written, answered;  // the next address, the data under way, the next response

  task automatic broken(input string channel, input string rule);
    if (STOP) $fatal(1, "cycle %0d, %s: %s", now, channel, rule);
    else $display("cycle %0d, %s: %s", now, channel, rule);
  endtask

  // Whether burst number a comes before b; no more than half of DEPTH lie between.
  function automatic bit precedes(input bit [PLACES-1:0] a, input bit [PLACES-1:0] b);
    return a != b && PLACES'(b - a) < PLACES'(DEPTH / 2);
  endfunction

  task automatic check_address(input string channel, input address_t a, input int longest);
    if (a.burst != INCR) broken(channel, "BURST is not INCR");
    if (a.size != 3'($clog2(BYTES))) broken(channel, "SIZE is not that of a whole beat");
    if (a.addr % BYTES != 0) broken(channel, "ADDR is no multiple of a beat");
    if (32'(a.len) >= longest) broken(channel, "LEN is beyond the longest burst");
    if (32'(a.addr[11:0]) + (32'(a.len) + 1) * BYTES > 4096) broken(channel, "the burst crosses 4 KiB");
    if (a.id != 0) broken(channel, "ID is not 0");
    if (a.lock != 0) broken(channel, "LOCK is not 0");
    if (a.cache != BUFFERABLE) broken(channel, "CACHE is not 0011");
    if (a.prot != 0) broken(channel, "PROT is not 0");
    if (a.qos != 0) broken(channel, "QOS is not 0");
  endtask

  handshake_checker #(.CHANNEL("AR"), .WIDTH($bits(ar)), .STOP(STOP)) ar_handshake (
    .clk(clk), .rst(rst), .valid(arvalid), .ready(arready), .payload(ar));
  handshake_checker #(.CHANNEL("R"), .WIDTH($bits(r)), .STOP(STOP)) r_handshake (
    .clk(clk), .rst(rst), .valid(rvalid), .ready(rready), .payload(r));
  handshake_checker #(.CHANNEL("AW"), .WIDTH($bits(aw)), .STOP(STOP)) aw_handshake (
    .clk(clk), .rst(rst), .valid(awvalid), .ready(awready), .payload(aw));
  handshake_checker #(.CHANNEL("W"), .WIDTH($bits(w)), .STOP(STOP)) w_handshake (
    .clk(clk), .rst(rst), .valid(wvalid), .ready(wready), .payload(w));
  handshake_checker #(.CHANNEL("B"), .WIDTH($bits(b)), .STOP(STOP)) b_handshake (
    .clk(clk), .rst(rst), .valid(bvalid), .ready(bready), .payload(b));

  always @(posedge clk) begin
    now = now + 1;
    if (rst) begin
      reading = 0;
      read = 0;
      addressed = 0;
      written = 0;
      answered = 0;
      given[0] = 0;
      idle <= 1'b1;
    end else begin
      // Answers first: what is asked in this cycle is answered in a later one.
      if (rvalid) begin
        if (reading == read) broken("R", "VALID without a burst that was asked for");
        else begin
          if (r[0] != (left[reading] == 1)) broken("R", "LAST is not on the burst's last beat");
          if (r[2:1] == EXOKAY) broken("R", "RESP is EXOKAY");
          if (r[BITS+3] != 0) broken("R", "ID is not 0");
          if (rready) begin
            left[reading] = left[reading] - 1;
            if (left[reading] == 0) reading = reading + 1;
          end
        end
      end
      if (bvalid) begin
        if (answered == addressed || answered == written) broken("B", "VALID before the burst's address and last beat");
        else begin
          if (b[1:0] == EXOKAY) broken("B", "RESP is EXOKAY");
          if (b[2] != 0) broken("B", "ID is not 0");
          if (bready) answered = answered + 1;
        end
      end
      if (arvalid) begin
        check_address("AR", read_address, LONGEST_READ);
        if (arready) begin
          left[read] = 9'(read_address.len) + 1;
          read = read + 1;
          if (read == reading) broken("AR", "more bursts under way than are watched");
        end
      end
      if (awvalid) begin
        check_address("AW", write_address, LONGEST_WRITE);
        if (awready) begin
          asked[addressed] = 9'(write_address.len) + 1;
          // Data may have come before: of all the burst, or of a part of it.
          if (addressed == written ? given[written] >= asked[written]
              : precedes(addressed, written) && given[addressed] != asked[addressed])
            broken("AW", "the burst's data came before and had another length");
          addressed = addressed + 1;
          if (addressed == answered) broken("AW", "more bursts under way than are watched");
        end
      end
      if (wvalid && wready) begin
        given[written] = given[written] + 1;
        if (precedes(written, addressed) && w[0] != (given[written] == asked[written]))
          broken("W", "LAST is not on the burst's last beat");
        if (w[0]) begin
          written = written + 1;
          given[written] = 0;
        end
      end
      idle <= reading == read && answered == addressed && answered == written && given[written] == 0
          && !(arvalid || rvalid || awvalid || wvalid || bvalid);
    end
  end
endmodule

`default_nettype wire
