"""What requests cost before and after they are sent, and the budgets that they must stay within."""
