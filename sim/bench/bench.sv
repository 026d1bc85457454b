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

  shiftpoint_engine engine (
    .clk(clk),
    .rst(rst),
    .s_axil__awaddr(s_axil_awaddr),
    .s_axil__awprot(3'b0),
    .s_axil__awvalid(s_axil_awvalid),
    .s_axil__awready(s_axil_awready),
    .s_axil__wdata(s_axil_wdata),
    .s_axil__wstrb(4'b1111),
    .s_axil__wvalid(s_axil_wvalid),
    .s_axil__wready(s_axil_wready),
    .s_axil__bresp(s_axil_bresp),
    .s_axil__bvalid(s_axil_bvalid),
    .s_axil__bready(s_axil_bready),
    .s_axil__araddr(s_axil_araddr),
    .s_axil__arprot(3'b0),
    .s_axil__arvalid(s_axil_arvalid),
    .s_axil__arready(s_axil_arready),
    .s_axil__rdata(s_axil_rdata),
    .s_axil__rresp(s_axil_rresp),
    .s_axil__rvalid(s_axil_rvalid),
    .s_axil__rready(s_axil_rready),
    .m_axi__arid(),
    .m_axi__araddr(araddr),
    .m_axi__arlen(arlen),
    .m_axi__arsize(),
    .m_axi__arburst(),
    .m_axi__arlock(),
    .m_axi__arcache(),
    .m_axi__arprot(),
    .m_axi__arqos(),
    .m_axi__arvalid(arvalid),
    .m_axi__arready(arready),
    .m_axi__rid(1'b0),
    .m_axi__rdata(rdata),
    .m_axi__rresp(rresp),
    .m_axi__rlast(rlast),
    .m_axi__rvalid(rvalid),
    .m_axi__rready(rready),
    .m_axi__awid(),
    .m_axi__awaddr(awaddr),
    .m_axi__awlen(awlen),
    .m_axi__awsize(),
    .m_axi__awburst(),
    .m_axi__awlock(),
    .m_axi__awcache(),
    .m_axi__awprot(),
    .m_axi__awqos(),
    .m_axi__awvalid(awvalid),
    .m_axi__awready(awready),
    .m_axi__wdata(wdata),
    .m_axi__wstrb(wstrb),
    .m_axi__wlast(wlast),
    .m_axi__wvalid(wvalid),
    .m_axi__wready(wready),
    .m_axi__bid(1'b0),
    .m_axi__bresp(bresp),
    .m_axi__bvalid(bvalid),
    .m_axi__bready(bready),
    .interrupt(interrupt_line)
  );

  memory #(.BITS(BITS)) memory (
    .clk(clk),
    .rst(rst),
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
