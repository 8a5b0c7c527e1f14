"""Five slices that take orders: stock, prices, placing, reading, cancelling. `aether demo` runs them on three nodes."""

from .inventory import InventoryService
from .orders import CancelOrder, GetOrderStatus, PlaceOrder
from .pricing import PricingService

__all__ = ["CancelOrder", "GetOrderStatus", "InventoryService", "PlaceOrder", "PricingService"]
