// An AXI4-Lite port watched, both sides of it: offers stay until they are taken, answers follow what they answer.
//
// Payloads: ar, aw: ADDR; r: DATA, RESP; w: DATA; b: RESP.  STOP: see handshake_checker.sv.

`default_nettype none

module axi_lite_checker #(
  parameter int ADDRESS_BITS = 8,
  parameter bit STOP = 1
) (
  input wire clk,
  input wire rst,

  input wire [ADDRESS_BITS-1:0] ar,
  input wire arvalid,
  input wire arready,
  input wire [33:0] r,
  input wire rvalid,
  input wire rready,

  input wire [ADDRESS_BITS-1:0] aw,
  input wire awvalid,
  input wire awready,
  input wire [31:0] w,
  input wire wvalid,
  input wire wready,
  input wire [1:0] b,
  input wire bvalid,
  input wire bready
);
  localparam bit [1:0] EXOKAY = 2'b01;

  longint unsigned now;
  int unsigned reads, addresses, words;  // taken and not answered

  task automatic broken(input string channel, input string rule);
    if (STOP) $fatal(1, "cycle %0d, register port, %s: %s", now, channel, rule);
    else $display("cycle %0d, register port, %s: %s", now, channel, rule);
  endtask

  handshake_checker #(.CHANNEL("register port, AR"), .WIDTH($bits(ar)), .STOP(STOP)) ar_handshake (
    .clk(clk), .rst(rst), .valid(arvalid), .ready(arready), .payload(ar));
  handshake_checker #(.CHANNEL("register port, R"), .WIDTH($bits(r)), .STOP(STOP)) r_handshake (
    .clk(clk), .rst(rst), .valid(rvalid), .ready(rready), .payload(r));
  handshake_checker #(.CHANNEL("register port, AW"), .WIDTH($bits(aw)), .STOP(STOP)) aw_handshake (
    .clk(clk), .rst(rst), .valid(awvalid), .ready(awready), .payload(aw));
  handshake_checker #(.CHANNEL("register port, W"), .WIDTH($bits(w)), .STOP(STOP)) w_handshake (
    .clk(clk), .rst(rst), .valid(wvalid), .ready(wready), .payload(w));
  handshake_checker #(.CHANNEL("register port, B"), .WIDTH($bits(b)), .STOP(STOP)) b_handshake (
    .clk(clk), .rst(rst), .valid(bvalid), .ready(bready), .payload(b));

  always @(posedge clk) begin
    now = now + 1;
    if (rst) begin
      reads = 0;
      addresses = 0;
      words = 0;
    end else begin
      // Answers first: what is asked in this cycle is answered in a later one.
      if (rvalid) begin
        if (reads == 0) broken("R", "VALID without a read");
        else if (r[1:0] == EXOKAY) broken("R", "RESP is EXOKAY");
        if (rready && reads != 0) reads = reads - 1;
      end
      if (bvalid) begin
        if (addresses == 0 || words == 0) broken("B", "VALID before address and data of a write");
        else begin
          if (b == EXOKAY) broken("B", "RESP is EXOKAY");
          if (bready) begin
            addresses = addresses - 1;
            words = words - 1;
          end
        end
      end
      if (arvalid && arready) reads = reads + 1;
      if (awvalid && awready) addresses = addresses + 1;
      if (wvalid && wready) words = words + 1;
    end
  end
endmodule

`default_nettype wire
