// The engine and the memory of the simulation, as cocotb sees them: clock, registers, interrupt, memory's parameters.

`default_nettype none

module bench #(
  parameter int BITS = 32,
  parameter int ADDRESS_BITS = 8
) (
  input wire clk,
  input wire rst,

  input wire [31:0] latency,
  input wire [31:0] beat_every,
  input wire [31:0] base,
  input wire [31:0] read_error,
  input wire [31:0] write_error,

  input wire [ADDRESS_BITS-1:0] s_axil_awaddr,
  input wire s_axil_awvalid,
  output wire s_axil_awready,
  input wire [31:0] s_axil_wdata,
  input wire s_axil_wvalid,
  output wire s_axil_wready,
  output wire [1:0] s_axil_bresp,
  output wire s_axil_bvalid,
  input wire s_axil_bready,
  input wire [ADDRESS_BITS-1:0] s_axil_araddr,
  input wire s_axil_arvalid,
  output wire s_axil_arready,
  output wire [31:0] s_axil_rdata,
  output wire [1:0] s_axil_rresp,
  output wire s_axil_rvalid,
  input wire s_axil_rready,
  output wire interrupt_line
);
  wire [31:0] araddr, awaddr;
  wire [7:0] arlen, awlen;
  wire arvalid, arready, rlast, rvalid, rready;
  wire awvalid, awready, wlast, wvalid, wready, bvalid, bready;
  wire [BITS-1:0] rdata, wdata;
  wire [BITS/8-1:0] wstrb;
  wire [1:0] rresp, bresp;

  // A register between the port and the engine: Verilator evaluates logic behind ports twice a cycle, and the reset
  // stands before every register of the engine.
  logic reset = 1'b1;
  always @(posedge clk) reset <= rst;

  shiftpoint_engine engine (
    .clk(clk),
    .rst(reset),
    .s_axil_awaddr(s_axil_awaddr),
    .s_axil_awprot(3'b0),
    .s_axil_awvalid(s_axil_awvalid),
    .s_axil_awready(s_axil_awready),
    .s_axil_wdata(s_axil_wdata),
    .s_axil_wstrb(4'b1111),
    .s_axil_wvalid(s_axil_wvalid),
    .s_axil_wready(s_axil_wready),
    .s_axil_bresp(s_axil_bresp),
    .s_axil_bvalid(s_axil_bvalid),
    .s_axil_bready(s_axil_bready),
    .s_axil_araddr(s_axil_araddr),
    .s_axil_arprot(3'b0),
    .s_axil_arvalid(s_axil_arvalid),
    .s_axil_arready(s_axil_arready),
    .s_axil_rdata(s_axil_rdata),
    .s_axil_rresp(s_axil_rresp),
    .s_axil_rvalid(s_axil_rvalid),
    .s_axil_rready(s_axil_rready),
    .m_axi_arid(),
    .m_axi_araddr(araddr),
    .m_axi_arlen(arlen),
    .m_axi_arsize(),
    .m_axi_arburst(),
    .m_axi_arlock(),
    .m_axi_arcache(),
    .m_axi_arprot(),
    .m_axi_arqos(),
    .m_axi_arvalid(arvalid),
    .m_axi_arready(arready),
    .m_axi_rid(1'b0),
    .m_axi_rdata(rdata),
    .m_axi_rresp(rresp),
    .m_axi_rlast(rlast),
    .m_axi_rvalid(rvalid),
    .m_axi_rready(rready),
    .m_axi_awid(),
    .m_axi_awaddr(awaddr),
    .m_axi_awlen(awlen),
    .m_axi_awsize(),
    .m_axi_awburst(),
    .m_axi_awlock(),
    .m_axi_awcache(),
    .m_axi_awprot(),
    .m_axi_awqos(),
    .m_axi_awvalid(awvalid),
    .m_axi_awready(awready),
    .m_axi_wdata(wdata),
    .m_axi_wstrb(wstrb),
    .m_axi_wlast(wlast),
    .m_axi_wvalid(wvalid),
    .m_axi_wready(wready),
    .m_axi_bid(1'b0),
    .m_axi_bresp(bresp),
    .m_axi_bvalid(bvalid),
    .m_axi_bready(bready),
    .interrupt(interrupt_line)
  );

  memory #(.BITS(BITS)) memory (
    .clk(clk),
    .rst(reset),
    .latency(latency),
    .beat_every(beat_every),
    .base(base),
    .read_error(read_error),
    .write_error(write_error),
    .araddr(araddr),
    .arlen(arlen),
    .arvalid(arvalid),
    .arready(arready),
    .rdata(rdata),
    .rresp(rresp),
    .rlast(rlast),
    .rvalid(rvalid),
    .rready(rready),
    .awaddr(awaddr),
    .awlen(awlen),
    .awvalid(awvalid),
    .awready(awready),
    .wdata(wdata),
    .wstrb(wstrb),
    .wlast(wlast),
    .wvalid(wvalid),
    .wready(wready),
    .bresp(bresp),
    .bvalid(bvalid),
    .bready(bready)
  );
endmodule

`default_nettype wire
